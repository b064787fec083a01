"""The key ``precision``: how well alpha_50 is wanted; the workflow adds runs in rounds until it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, field_validator

from phasepipe.errors import shown
from phasepipe.specification.base import Dimension, Model, Real, repeated


class Precision(Model):
    """Half-width of the 95 % interval of alpha_50 that is wanted, and what may be spent on it."""

    alpha_50: Annotated[Real, Field(gt=0, le=10)] = Field(
        description="Half-width of the 95 % interval of alpha_50, at the time budget t_max", examples=[0.02]
    )
    N: Annotated[list[Dimension], Field(min_length=1)] | None = Field(
        default=None,
        description="Dimensions at which it is wanted; default all of the sweep",
        examples=[[64, 128, 256]],
    )
    core_hours: Annotated[Real, Field(gt=0, le=1e6)] = Field(
        description="Core-hours that may be added to the grid, as estimated by phasepipe refine", examples=[2]
    )

    @field_validator("N")
    @classmethod
    def _distinct(cls, sizes: list[int] | None) -> list[int] | None:
        if (N := repeated(sizes or [])) is not None:
            raise ValueError(f"= {shown(sizes)} is not valid; it contains {N} twice, list every N once")
        return sizes

    def sizes(self, N: Sequence[int]) -> list[int]:
        """The dimensions at which it is wanted, of a sweep over ``N``."""
        return list(N if self.N is None else self.N)

    def check(self, alphas: Mapping[int, list[float]], start_kinds: list[str], zero_signal: bool) -> None:
        """Reject a precision that cannot steer a sweep with these alphas at every N and these starts.

        Raises
        ------
        ValueError
            Says what is missing.
        """
        for N in self.sizes(list(alphas)):
            if N not in alphas:
                raise ValueError(
                    f"precision.N contains {N}, but N is {list(alphas)}; add it to N, or remove it from "
                    "precision.N"
                )
            if len(alphas[N]) < 2:
                raise ValueError(
                    f"precision needs at least two alphas at N = {N}, which has the single alpha = "
                    f"{alphas[N][0]:g}; add alphas on both sides of the one at which half of the runs recover"
                )
        if zero_signal:
            raise ValueError(
                "precision needs a signal, because no run recovers without one; remove precision or set "
                "zero_signal: false"
            )
        if len(start_kinds) > 1:
            raise ValueError(
                f"precision steers by one kind of start, but starts contains {' and '.join(start_kinds)}; "
                "put each kind into a sweep of its own"
            )
