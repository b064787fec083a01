"""The key ``starts``: the kinds of initial points."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from phasepipe.specification.base import Model, Real, StartCount, Whole


class RandomStarts(Model):
    """Starts uniform on the sphere."""

    kind: Literal["random"]
    count: StartCount = Field(description="Starts per instance")


class WarmStarts(Model):
    """Starts with a given overlap with the signal."""

    kind: Literal["warm"]
    count: StartCount = Field(description="Starts per instance")
    m0: Real = Field(ge=0, lt=1, description="Overlap of the start with the signal")


class SpectralStarts(Model):
    """Spectral start: the top eigenvector of the optimally weighted covariance."""

    kind: Literal["spectral"]
    count: Annotated[Whole, Field(ge=1, le=1)] = Field(default=1, description="Always 1 per instance")


class CurvatureStarts(Model):
    """Lowest eigenvector of the Hessian at a random point."""

    kind: Literal["curvature"]
    count: StartCount = Field(description="Starts per instance")


class ThresholdStarts(Model):
    """Threshold states, prepared by a flow without signal for the time t_max, then planted."""

    kind: Literal["threshold"]
    count: StartCount = Field(description="Starts per instance")


StartSpec = Annotated[
    RandomStarts | WarmStarts | SpectralStarts | CurvatureStarts | ThresholdStarts,
    Field(discriminator="kind"),
]
