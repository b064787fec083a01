"""What the models of all keys share: the base model and the ranges of common numbers.

The ranges end far beyond what any machine computes: what is larger is a slip of the pen, better told here
than by a lack of memory.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _number(value: Any) -> Any:
    """Text and truth values are no numbers, although pydantic would turn ``"20"`` and ``yes`` into some."""
    if isinstance(value, bool):
        raise ValueError(f"= {value} will not do; yes, no, true and false mean nothing here, give a number")
    if isinstance(value, str):
        raise ValueError(f"= {value!r} will not do; it is text, give a number without quotes")
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
    """A part of the specification: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
