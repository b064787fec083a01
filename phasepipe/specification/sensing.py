"""The key ``sensing``: ensembles of sensing matrices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from phasepipe.physics import ensembles
from phasepipe.specification.base import Model, Real


class GaussianSensing(Model):
    """Sensing matrix with entries iid N(0, 1)."""

    kind: Literal["gaussian"] = Field(default="gaussian", description="Kind of the ensemble")

    def build(self) -> ensembles.Ensemble:
        """The ensemble."""
        return ensembles.GAUSSIAN


class SignSensing(Model):
    """Sensing matrix of random signs."""

    kind: Literal["signs"] = Field(description="Kind of the ensemble")

    def build(self) -> ensembles.Ensemble:
        """The ensemble."""
        return ensembles.Signs()


class SphereSensing(Model):
    """Sensing matrix with rows on the sphere of radius sqrt(N)."""

    kind: Literal["sphere"] = Field(description="Kind of the ensemble")

    def build(self) -> ensembles.Ensemble:
        """The ensemble."""
        return ensembles.Sphere()


class CorrelatedSensing(Model):
    """Gaussian sensing matrix whose columns i and j have correlation rho^|i - j|."""

    kind: Literal["correlated"] = Field(description="Kind of the ensemble")
    rho: Real = Field(gt=-1, lt=1, description="Correlation of neighbouring columns", examples=[0.5])

    def build(self) -> ensembles.Ensemble:
        """The ensemble."""
        return ensembles.Correlated(self.rho)


class OrthogonalSensing(Model):
    """Sensing matrix with orthogonal columns."""

    kind: Literal["orthogonal"] = Field(description="Kind of the ensemble")

    def build(self) -> ensembles.Ensemble:
        """The ensemble."""
        return ensembles.Orthogonal()


SensingSpec = Annotated[
    GaussianSensing | SignSensing | SphereSensing | CorrelatedSensing | OrthogonalSensing,
    Field(discriminator="kind"),
]
