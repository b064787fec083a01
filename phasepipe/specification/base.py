"""Base model and common number types of all keys.

The upper limits of the number types lie far beyond what any machine can compute. A larger number is a typing
error, which is better reported here than by running out of memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from phasepipe.errors import shown

T = TypeVar("T", bound=Hashable)


def repeated(values: Iterable[T]) -> T | None:
    """The first value that occurs a second time, or None."""
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def _number(value: Any) -> Any:
    """Reject text and truth values, which pydantic would convert to numbers."""
    if isinstance(value, bool):
        raise ValueError(f"= {value} is not valid; give a number instead of yes, no, true or false")
    if isinstance(value, str):
        raise ValueError(f"= {shown(value)} is not valid; it is text, give a number without quotes")
    return value


Real = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_number)]
Positive = Annotated[Real, Field(gt=0)]
Time = Annotated[Real, Field(ge=1e-6, le=1e9)]
Dimension = Annotated[Whole, Field(ge=2, le=1_000_000)]
Count = Annotated[Whole, Field(ge=1, le=10_000_000)]
StartCount = Annotated[Whole, Field(ge=1, le=100_000)]
Few = Annotated[Whole, Field(ge=1, le=100_000)]


class Model(BaseModel):
    """A part of the specification; unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)
