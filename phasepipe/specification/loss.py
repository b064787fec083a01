"""The key ``loss``: built-in losses and custom losses."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from phasepipe.errors import SweepError
from phasepipe.physics.loss_check import LossError, examined
from phasepipe.physics.losses import Loss, NormalisedQuartic, Quartic
from phasepipe.specification.base import Model, Real
from phasepipe.specification.paths import ExpandedPath
from phasepipe.specification.time_limit import TooSlow, time_limit

# time limit for importing and evaluating a custom loss; importing PyTorch from a slow disk takes half of it
_PROCESSOR_SECONDS, _SECONDS = 8, 60


class NormalisedQuarticSpec(Model):
    """The normalised quartic loss of docs/explanation/physics.md §2."""

    kind: Literal["normalised_quartic"] = Field(default="normalised_quartic", description="Kind of the loss")
    a: Real = Field(gt=0, le=1e6, description="Regulariser of the denominator", examples=[0.01])

    def build(self) -> Loss:
        """The loss."""
        return NormalisedQuartic(self.a)


class QuarticSpec(Model):
    """The quartic loss, a = infinity."""

    kind: Literal["quartic"] = Field(description="Kind of the loss")

    def build(self) -> Loss:
        """The loss."""
        return Quartic()


class CustomLossSpec(Model):
    """A custom loss: a class or object with value, slope and curvature as functions of (yhat, y)."""

    kind: Literal["custom"] = Field(description="Kind of the loss")
    path: str = Field(description="Dotted path of a class or object", examples=["my_losses.Amplitude"])
    parameters: dict[str, float | int | str | bool] = Field(
        default_factory=dict, description="Keyword arguments of the class", examples=[{"width": 2.0}]
    )
    directory: ExpandedPath = Field(
        default=".", description="Folder that is searched first for the module", examples=["."]
    )

    @field_validator("parameters")
    @classmethod
    def _finite(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        for name, value in parameters.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"loss.parameters.{name} = {value} is not valid; use a finite number")
        return parameters

    def build(self) -> Loss:
        """Import and build the loss, and evaluate it once.

        Raises
        ------
        SweepError
            If the import fails, the class does not accept the parameters, or the loss is not valid.
        """
        try:
            with time_limit(_PROCESSOR_SECONDS, _SECONDS):
                return examined(self._built())
        except TooSlow as error:
            raise SweepError(f"loss.path = {self.path!r} {error} and was stopped; does it loop?") from error
        except LossError as error:
            raise SweepError(f"loss.path = {self.path!r}: {error}") from error

    def _built(self) -> object:
        module_name, _, attribute = self.path.rpartition(".")
        if not module_name:
            raise SweepError(f"loss.path = {self.path!r} has no module; use for example my_losses.Amplitude")
        target = getattr(self._module(module_name), attribute, None)
        if target is None:
            raise LossError(f"module {module_name} has no {attribute!r}; name a loss that it defines")
        if isinstance(target, type) or self.parameters:
            try:
                return target(**self.parameters)
            except (Exception, SystemExit) as error:
                raise SweepError(
                    f"loss.path = {self.path!r} cannot be called with parameters {self.parameters}: "
                    f"{_reason(error)}"
                ) from error
        return target

    def _module(self, name: str) -> Any:
        directory = str(Path(self.directory).resolve())
        sys.path.insert(0, directory)
        try:
            return importlib.import_module(name)
        except TooSlow:
            raise
        except BaseException as error:  # importing a module may exit or raise KeyboardInterrupt
            raise SweepError(
                f"loss.path = {self.path!r} cannot be imported ({_reason(error)}); "
                f"put {name}.py into {directory} or install its package"
            ) from error
        finally:
            # search the directory first for the named module, but last for any later import
            sys.path.remove(directory)
            if directory not in sys.path:
                sys.path.append(directory)


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".rstrip(": ").split())


LossSpec = Annotated[NormalisedQuarticSpec | QuarticSpec | CustomLossSpec, Field(discriminator="kind")]


def describe_loss(loss: LossSpec) -> str:
    """Readable name of the loss."""
    if isinstance(loss, NormalisedQuarticSpec):
        return f"normalised quartic loss, a = {loss.a:g}"
    return "quartic loss" if isinstance(loss, QuarticSpec) else f"loss {loss.path}"
