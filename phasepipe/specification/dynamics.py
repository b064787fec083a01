"""The key ``dynamics``: gradient flow, or gradient descent with a fixed step."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from phasepipe.specification.base import Model, Real


class FlowSpec(Model):
    """Gradient flow by the batched Runge-Kutta-Chebyshev integrator."""

    kind: Literal["flow"] = Field(default="flow", description="Kind of the dynamics")
    relative_tolerance: Real = Field(
        default=1e-2, gt=0, le=0.1, description="Allowed error of a step relative to |w|", examples=[0.01]
    )


class DescentSpec(Model):
    """Gradient descent with a fixed learning rate."""

    kind: Literal["descent"] = Field(description="Kind of the dynamics")
    learning_rate: Real = Field(
        gt=0,
        le=100,
        description="Fixed step; must be below 2 / lambda_max at the start",
        examples=[0.001],
    )


DynamicsSpec = Annotated[FlowSpec | DescentSpec, Field(discriminator="kind")]
