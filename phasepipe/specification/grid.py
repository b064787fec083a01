"""The keys that define the grid: ``alpha``, ``snapshots`` and ``refine``."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
from pydantic import Discriminator, Field, Tag, model_validator

from phasepipe.specification.base import Count, Dimension, Few, Model, Positive, Real, Whole

_LONGEST_RANGE = 10_000
Alpha = Annotated[Real, Field(gt=0, le=1e6)]


class AlphaRange(Model):
    """Evenly spaced alphas, both ends included."""

    start: Alpha = Field(description="First alpha", examples=[1.5])
    stop: Alpha = Field(description="Last alpha, included if the steps meet it", examples=[4.5])
    step: Positive = Field(description="Distance of neighbouring alphas", examples=[0.25])

    @model_validator(mode="after")
    def _of_sensible_length(self) -> Self:
        if (self.stop - self.start) / self.step > _LONGEST_RANGE:
            raise ValueError(
                f"alpha.step = {self.step} gives more than {_LONGEST_RANGE} alphas; use a larger step"
            )
        return self

    def values(self) -> list[float]:
        """The alphas, rounded to 1e-9 to remove floating-point errors."""
        count = int(np.floor((self.stop - self.start) / self.step + 1e-9)) + 1
        return [round(self.start + index * self.step, 9) for index in range(max(count, 0))]


AlphaList = Annotated[list[Alpha], Field(min_length=1)]


def _list_or_range(value: Any) -> str:
    return "range" if isinstance(value, dict | AlphaRange) else "list"


AlphaGrid = Annotated[
    Annotated[AlphaList, Tag("list")] | Annotated[AlphaRange, Tag("range")], Discriminator(_list_or_range)
]


def common_or_per_size(value: Any) -> str:
    """Distinguish a grid for all N from a mapping of N to grids."""
    per_size = isinstance(value, dict) and not set(value) & set(AlphaRange.model_fields)
    return "per_N" if per_size else "common"


class SnapshotSpec(Model):
    """Runs whose points w(t) are stored for diagonalisation: the first starts of the first instances."""

    instances: Annotated[Whole, Field(ge=0, le=10_000_000)] = Field(
        default=0, description="Instances, counted from the first, that keep points", examples=[8]
    )
    starts: Annotated[Whole, Field(ge=0, le=100_000)] = Field(
        default=0,
        description="Starts of these instances, counted from the first, that keep points",
        examples=[2],
    )
    per_decade: Few = Field(
        default=2, description="Snapshots per decade of time; divides records_per_decade", examples=[2]
    )


class RefinedCell(Model):
    """One alpha at one N with its own number of instances."""

    N: Dimension = Field(description="One of the dimensions of the sweep", examples=[128])
    alpha: Alpha = Field(
        description="Signal-to-noise ratio, of the grid or between its alphas", examples=[2.3]
    )
    instances: Count = Field(description="Total number of instances", examples=[200])
