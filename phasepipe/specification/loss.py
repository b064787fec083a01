"""The key ``loss``: the built-in losses and a loss of the user's own."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from phasepipe.errors import SweepError
from phasepipe.physics.losses import Loss, NormalisedQuartic, Quartic, require_loss
from phasepipe.specification.base import Model


class NormalisedQuarticSpec(Model):
    """The normalised quartic loss of PHYSICS §2."""

    kind: Literal["normalised_quartic"] = "normalised_quartic"
    a: float = Field(
        gt=0, allow_inf_nan=False, description="Regulariser of the denominator, for example 0.01"
    )

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
    directory: str = Field(default=".", description="Folder searched first for the module")

    def build(self) -> Loss:
        """Import and build the loss.

        Raises
        ------
        SweepError
            If the path does not import, does not accept its parameters, or is no loss.
        """
        module_name, _, attribute = self.path.rpartition(".")
        if not module_name:
            raise SweepError(f"loss.path = {self.path!r} has no module; take for example my_losses.Amplitude")
        target = getattr(self._module(module_name), attribute, None)
        if target is None:
            raise SweepError(
                f"loss.path = {self.path!r}: module {module_name} has no {attribute!r}; "
                "name a loss that it defines"
            )
        if isinstance(target, type) or self.parameters:
            try:
                target = target(**self.parameters)
            except Exception as error:
                raise SweepError(
                    f"loss.path = {self.path!r} cannot be called with parameters {self.parameters}: {error}"
                ) from error
        try:
            return require_loss(target, self.path)
        except TypeError as error:
            raise SweepError(f"loss.path = {self.path!r}: {error}") from error

    def _module(self, name: str) -> Any:
        directory = str(Path(self.directory).resolve())
        sys.path.insert(0, directory)
        try:
            return importlib.import_module(name)
        except Exception as error:
            raise SweepError(
                f"loss.path = {self.path!r} does not import ({type(error).__name__}: {error}); "
                f"put {name}.py into {directory} or install its package"
            ) from error
        finally:
            # first for the module that was named; last for what is imported later, which nobody named
            sys.path.remove(directory)
            if directory not in sys.path:
                sys.path.append(directory)


LossSpec = Annotated[NormalisedQuarticSpec | QuarticSpec | CustomLossSpec, Field(discriminator="kind")]


def describe_loss(loss: LossSpec) -> str:
    """Name of the loss for people."""
    if isinstance(loss, NormalisedQuarticSpec):
        return f"normalised quartic loss, a = {loss.a:g}"
    return "quartic loss" if isinstance(loss, QuarticSpec) else f"loss {loss.path}"
