"""The key ``dynamics_theory``: the dynamics for N to infinity, predicted for some alphas of a sweep."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from phasepipe.specification.base import Model
from phasepipe.specification.grid import AlphaList


class DynamicsTheory(Model):
    """What is predicted, and how accurately; ``true`` in the file stands for all defaults.

    One alpha costs half a minute at t_max = 3, several minutes at t_max = 30 and small a: the work grows
    with the third power of the number of time steps.
    """

    alpha: AlphaList | None = Field(
        default=None, description="Signal-to-noise ratios to predict; default those of the grid"
    )
    t_max: float = Field(default=3.2, gt=0, le=100, description="Longest time and budget to predict")
    accuracy: float = Field(default=0.03, ge=1e-4, le=0.2, description="Relative error aimed at")
    samples: int = Field(default=2**14, ge=256, le=2**20, description="Samples of the effective process")

    @model_validator(mode="after")
    def _power_of_two(self) -> Self:
        if self.samples & (self.samples - 1):
            raise ValueError(f"samples = {self.samples} is not a power of two; take for example 16384")
        return self


def true_as_defaults(value: Any) -> Any:
    """``true`` asks for the prediction with all defaults, ``false`` for none."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


OptionalDynamicsTheory = Annotated[
    DynamicsTheory | None, Field(description="Predict the dynamics for N to infinity")
]
