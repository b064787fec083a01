from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class PerturbedAmplitude:
    """A user's loss, ``(sqrt(yhat² + eps y²) - sqrt(1 + eps) |y|)² / 2``."""

    eps: float

    def value(self, yhat: Any, y: Any) -> Any:
        return (np.sqrt(yhat**2 + self.eps * y**2) - np.sqrt(1 + self.eps) * np.abs(y)) ** 2 / 2

    def slope(self, yhat: Any, y: Any) -> Any:
        return yhat * (1 - np.sqrt(1 + self.eps) * np.abs(y) / np.sqrt(yhat**2 + self.eps * y**2))

    def curvature(self, yhat: Any, y: Any) -> Any:
        amplitude = np.sqrt(yhat**2 + self.eps * y**2)
        return 1 - np.sqrt(1 + self.eps) * np.abs(y) * self.eps * y**2 / amplitude**3


@dataclass(frozen=True)
class Scaled:
    """Another loss times a constant; hides its class, so that nothing special to quartics is used."""

    loss: Any
    factor: float = 1.0

    def value(self, yhat: Any, y: Any) -> Any:
        return self.factor * self.loss.value(yhat, y)

    def slope(self, yhat: Any, y: Any) -> Any:
        return self.factor * self.loss.slope(yhat, y)

    def curvature(self, yhat: Any, y: Any) -> Any:
        return self.factor * self.loss.curvature(yhat, y)


@dataclass(frozen=True)
class Custom:
    """Any three functions as a loss."""

    value: Callable[[Any, Any], Any]
    slope: Callable[[Any, Any], Any]
    curvature: Callable[[Any, Any], Any]


@pytest.fixture(scope="session")
def perturbed_amplitude() -> Callable[[float], PerturbedAmplitude]:
    return PerturbedAmplitude


@pytest.fixture(scope="session")
def scaled() -> Callable[..., Scaled]:
    return Scaled


@pytest.fixture(scope="session")
def custom() -> Callable[..., Custom]:
    return Custom
