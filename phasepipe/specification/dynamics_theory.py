"""The key ``dynamics_theory``: predict the dynamics for N to infinity at some alphas of a sweep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from phasepipe.errors import shown
from phasepipe.specification.base import Model, Real, Whole, repeated

_LEAST, _MOST = 1e-3, 100  # the alphas that the theory takes
PredictedAlpha = Annotated[Real, Field(ge=_LEAST, le=_MOST)]


class DynamicsTheory(Model):
    """Range and accuracy of the prediction; ``true`` in the file means all defaults.

    One alpha takes some 20 seconds of one core, and up to a few minutes at t_max = 100 and small a.
    """

    alpha: Annotated[list[PredictedAlpha], Field(min_length=1)] | None = Field(
        default=None,
        description="Signal-to-noise ratios to predict; default those of the grid",
        examples=[[2, 2.5, 3]],
    )
    t_max: Real = Field(
        default=3.2, ge=0.01, le=100, description="Longest time and budget to predict", examples=[3.2]
    )
    accuracy: Real = Field(
        default=0.03, ge=1e-4, le=0.2, description="Target relative error", examples=[0.03]
    )
    samples: Whole = Field(
        default=2**14, ge=256, le=2**20, description="Samples of the effective process", examples=[16384]
    )

    @field_validator("alpha")
    @classmethod
    def _distinct(cls, alphas: list[float] | None) -> list[float] | None:
        if (twice := repeated(alphas or [])) is not None:
            raise ValueError(
                f"= {shown(alphas)} is not valid; it contains {twice:g} twice, list every alpha once"
            )
        return alphas

    def check(self, grid: Iterable[float]) -> None:
        """Raise ValueError if the alphas of the grid are to be predicted and cannot be."""
        outside = [alpha for alpha in grid if not _LEAST <= alpha <= _MOST] if self.alpha is None else []
        if outside:
            raise ValueError(
                f"dynamics_theory predicts at alpha from {_LEAST:g} to {_MOST:g}, and the grid has "
                f"{outside[0]:g}; list the alphas to predict in dynamics_theory.alpha"
            )

    @model_validator(mode="after")
    def _power_of_two(self) -> Self:
        if self.samples & (self.samples - 1):
            raise ValueError(f"samples = {self.samples} is not a power of two; use for example 16384")
        return self


def true_as_defaults(value: Any) -> Any:
    """Convert ``true`` to all defaults and ``false`` to no prediction."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


OptionalDynamicsTheory = Annotated[
    DynamicsTheory | None,
    Field(
        description="Predict the dynamics for N to infinity, and success without a fit",
        examples=[{"alpha": [2, 2.5, 3], "t_max": 3.2, "accuracy": 0.03, "samples": 16384}],
    ),
]
