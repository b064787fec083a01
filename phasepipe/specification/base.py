"""What the models of all keys share: the base model and the ranges of common numbers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

FinitePositive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Dimension = Annotated[int, Field(ge=2, le=1_000_000)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]


class Model(BaseModel):
    """A part of the specification: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_value_as_number(cls, content: Any) -> Any:
        # pydantic would take yes for 1
        for key, field in cls.model_fields.items():
            value = content.get(key) if isinstance(content, dict) else None
            if isinstance(value, bool) and field.annotation is not bool:
                raise ValueError(f"{key} = {value} will not do; yes and no mean nothing here, give a number")
        return content
