"""The key ``starts``: the kinds of initial points."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from phasepipe.specification.base import Model, Real, StartCount, Whole


class RandomStarts(Model):
    """Starts uniform on the sphere."""

    kind: Literal["random"] = Field(description="Kind of the starts")
    count: StartCount = Field(description="Starts per instance", examples=[16])


class WarmStarts(Model):
    """Starts with a given overlap with the signal."""

    kind: Literal["warm"] = Field(description="Kind of the starts")
    count: StartCount = Field(description="Starts per instance", examples=[16])
    m0: Real = Field(ge=0, lt=1, description="Overlap of the start with the signal", examples=[0.2])


class SpectralStarts(Model):
    """Spectral start: the top eigenvector of the optimally weighted covariance."""

    kind: Literal["spectral"] = Field(description="Kind of the starts")
    count: Annotated[Whole, Field(ge=1, le=1)] = Field(
        default=1, description="Always 1 per instance", examples=[1]
    )


class CurvatureStarts(Model):
    """Lowest eigenvector of the Hessian at a random point."""

    kind: Literal["curvature"] = Field(description="Kind of the starts")
    count: StartCount = Field(description="Starts per instance", examples=[16])


class ThresholdStarts(Model):
    """Threshold states, prepared by a flow without signal for the time 100, then planted."""

    kind: Literal["threshold"] = Field(description="Kind of the starts")
    count: StartCount = Field(description="Starts per instance", examples=[16])


StartSpec = Annotated[
    RandomStarts | WarmStarts | SpectralStarts | CurvatureStarts | ThresholdStarts,
    Field(discriminator="kind"),
]
