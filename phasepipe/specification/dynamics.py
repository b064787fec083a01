"""The key ``dynamics``: gradient flow, or gradient descent with a fixed step."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from phasepipe.specification.base import Model, Real


class FlowSpec(Model):
    """Gradient flow by the batched Runge-Kutta-Chebyshev integrator."""

    kind: Literal["flow"] = "flow"
    relative_tolerance: Real = Field(
        default=1e-2, gt=0, le=0.1, description="Allowed error of a step relative to |w|"
    )


class DescentSpec(Model):
    """Gradient descent with a fixed learning rate."""

    kind: Literal["descent"]
    learning_rate: Real = Field(
        gt=0, le=100, description="Fixed step; must be below 2 / lambda_max at the start"
    )


DynamicsSpec = Annotated[FlowSpec | DescentSpec, Field(discriminator="kind")]
