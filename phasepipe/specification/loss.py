"""The key ``loss``: the built-in losses and a loss of the user's own."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from phasepipe.errors import SweepError
from phasepipe.physics.losses import LOSS_METHODS, Loss, NormalisedQuartic, Quartic, require_loss
from phasepipe.specification.base import Model, Real
from phasepipe.specification.paths import ExpandedPath
from phasepipe.specification.time_limit import TooSlow, time_limit

# a loss that is imported and evaluated once may take so long; PyTorch from a slow disk takes half of it
_PROCESSOR_SECONDS, _SECONDS = 8, 60


class NormalisedQuarticSpec(Model):
    """The normalised quartic loss of PHYSICS §2."""

    kind: Literal["normalised_quartic"] = "normalised_quartic"
    a: Real = Field(gt=0, le=1e6, description="Regulariser of the denominator, for example 0.01")

    def build(self) -> Loss:
        """The loss."""
        return NormalisedQuartic(self.a)


class QuarticSpec(Model):
    """The quartic loss, a = infinity."""

    kind: Literal["quartic"]

    def build(self) -> Loss:
        """The loss."""
        return Quartic()


class CustomLossSpec(Model):
    """A loss of the user's own: a class or object with value, slope and curvature of (yhat, y)."""

    kind: Literal["custom"]
    path: str = Field(description="Dotted path of a class or object, for example my_losses.Amplitude")
    parameters: dict[str, float | int | str | bool] = Field(
        default_factory=dict, description="Keyword arguments the class is called with"
    )
    directory: ExpandedPath = Field(default=".", description="Folder searched first for the module")

    @field_validator("parameters")
    @classmethod
    def _finite(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        for name, value in parameters.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"loss.parameters.{name} = {value} will not do; take a finite number")
        return parameters

    def build(self) -> Loss:
        """Import and build the loss, and evaluate it once.

        Raises
        ------
        SweepError
            If the path does not import, does not accept its parameters, or is no loss that can be descended.
        """
        try:
            with time_limit(_PROCESSOR_SECONDS, _SECONDS):
                return _checked(self._built())
        except TooSlow as error:
            raise SweepError(f"loss.path = {self.path!r} {error} and was stopped; does it loop?") from error
        except _LossError as error:
            raise SweepError(f"loss.path = {self.path!r}: {error}") from error

    def _built(self) -> object:
        module_name, _, attribute = self.path.rpartition(".")
        if not module_name:
            raise SweepError(f"loss.path = {self.path!r} has no module; take for example my_losses.Amplitude")
        target = getattr(self._module(module_name), attribute, None)
        if target is None:
            raise _LossError(f"module {module_name} has no {attribute!r}; name a loss that it defines")
        if isinstance(target, type) or self.parameters:
            try:
                return target(**self.parameters)
            except (Exception, SystemExit) as error:
                raise SweepError(
                    f"loss.path = {self.path!r} cannot be called with parameters {self.parameters}: "
                    f"{_told(error)}"
                ) from error
        return target

    def _module(self, name: str) -> Any:
        directory = str(Path(self.directory).resolve())
        sys.path.insert(0, directory)
        try:
            return importlib.import_module(name)
        except TooSlow:
            raise
        except BaseException as error:  # a module may exit, or raise KeyboardInterrupt, when it is imported
            raise SweepError(
                f"loss.path = {self.path!r} does not import ({_told(error)}); "
                f"put {name}.py into {directory} or install its package"
            ) from error
        finally:
            # first for the module that was named; last for what is imported later, which nobody named
            sys.path.remove(directory)
            if directory not in sys.path:
                sys.path.append(directory)


class _LossError(TypeError):
    """What is wrong with an object as a loss, without its name."""


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".rstrip(": ").split())


def _checked(loss: object) -> Loss:
    """The loss, if it can be descended: evaluated once, at points that are nothing special.

    Raises
    ------
    _LossError
        If a method is missing or fails, returns another shape or type than it gets, is not finite, changes
        its arguments, or is not the derivative of the one before it.
    """
    if isinstance(loss, type):
        raise _LossError(f"{loss.__name__} is a class and not an object; name the class itself, or an object")
    try:
        candidate = require_loss(loss, "it is")
    except TypeError as error:
        raise _LossError(str(error)) from error
    draw = np.random.default_rng(0)
    yhat, y = draw.normal(size=(3, 16)), draw.normal(size=16)
    for name in LOSS_METHODS:
        _evaluated(candidate, name, yhat.astype(np.float32), y.astype(np.float32))
        _evaluated(candidate, name, yhat, y)
    _require_derivative(candidate, "slope", "value", yhat, y)
    _require_derivative(candidate, "curvature", "slope", yhat, y)
    return candidate


def _require_derivative(
    loss: Loss, derivative: str, function: str, yhat: NDArray[Any], y: NDArray[Any]
) -> None:
    step = 1e-5 * (1 + np.abs(yhat))
    ahead, behind = (_evaluated(loss, function, yhat + sign * step, y) for sign in (1, -1))
    expected = (ahead - behind) / (2 * step)
    found = _evaluated(loss, derivative, yhat, y)
    error = np.abs(found - expected) - 1e-3 * (np.abs(found) + np.abs(expected))
    if np.mean(error > 1e-6) > 0.5:  # a kink is met at few points
        worst = np.unravel_index(np.argmax(error), error.shape)
        raise _LossError(
            f"its {derivative} is not the derivative of its {function} in yhat: {found[worst]:.6g} at yhat = "
            f"{yhat[worst]:.3g}, y = {y[worst[1]]:.3g}, where differences give {expected[worst]:.6g}"
        )


def _evaluated(loss: Loss, name: str, yhat: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    before = yhat.copy(), y.copy()
    try:
        with np.errstate(all="ignore"):
            found = getattr(loss, name)(yhat, y)
    except TooSlow:
        raise
    except BaseException as error:
        raise _LossError(f"its {name}(yhat, y) fails with {_told(error)}") from error
    if found is None:
        raise _LossError(f"its {name} returns nothing; is a return missing?")
    shape = np.shape(found)
    if shape != yhat.shape:
        raise _LossError(
            f"its {name} has shape {shape} for yhat of shape {yhat.shape} and y of shape {y.shape}; "
            f"it should be elementwise, of shape {yhat.shape}"
        )
    # a constant of NumPy's own makes float64 of float32, which costs time and changes nothing
    if not np.issubdtype(getattr(found, "dtype", object), np.floating):
        kind = getattr(found, "dtype", type(found).__name__)
        raise _LossError(f"its {name} is {kind} for arguments of {yhat.dtype}; it should keep their type")
    if not (np.array_equal(before[0], yhat) and np.array_equal(before[1], y)):
        raise _LossError(f"its {name} changes its arguments in place; return a new array")
    if not np.isfinite(found).all():
        raise _LossError(f"its {name} is not finite at yhat and y of order one")
    return np.asarray(found)


LossSpec = Annotated[NormalisedQuarticSpec | QuarticSpec | CustomLossSpec, Field(discriminator="kind")]


def describe_loss(loss: LossSpec) -> str:
    """Name of the loss for people."""
    if isinstance(loss, NormalisedQuarticSpec):
        return f"normalised quartic loss, a = {loss.a:g}"
    return "quartic loss" if isinstance(loss, QuarticSpec) else f"loss {loss.path}"
