"""The key ``loss``: built-in losses and custom losses.

A custom loss is code of whoever wrote the configuration or the results folder that names it. It is imported
only after :meth:`CustomLossSpec.trusted` has said so: when its sweep is run, and when a user asks for it.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, field_validator

from phasepipe.errors import SweepError, shown
from phasepipe.physics.loss_check import LossError, examined
from phasepipe.physics.losses import Loss, NormalisedQuartic, Quartic
from phasepipe.specification.base import Model, Real
from phasepipe.specification.paths import ExpandedPath
from phasepipe.specification.time_limit import TooSlow, time_limit

SMALLEST_A, LARGEST_A = 1e-12, 1e6  # below, the thresholds at a random start cannot be computed
# time limit for importing and evaluating a custom loss; importing PyTorch from a slow disk takes half of it
_PROCESSOR_SECONDS, _SECONDS = 8, 60


class UntrustedLossError(SweepError):
    """Code would run that nobody has vouched for; the message names module, file and option."""


class NormalisedQuarticSpec(Model):
    """The normalised quartic loss of docs/explanation/physics.md §2."""

    kind: Literal["normalised_quartic"] = Field(default="normalised_quartic", description="Kind of the loss")
    a: Real = Field(
        ge=SMALLEST_A, le=LARGEST_A, description="Regulariser of the denominator", examples=[0.01]
    )

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
    path: str = Field(
        max_length=300, description="Dotted path of a class or object", examples=["my_losses.Amplitude"]
    )
    parameters: dict[str, float | int | str | bool] = Field(
        default_factory=dict, description="Keyword arguments of the class", examples=[{"width": 2.0}]
    )
    directory: ExpandedPath = Field(
        default=".", description="Folder that is searched first for the module", examples=["."]
    )
    # not a key: no file can set it
    _trusted: bool = PrivateAttr(default=False)

    def trusted(self) -> Self:
        """A copy whose code may be run, in this process and in those that it is sent to."""
        copy = self.model_copy()
        copy._trusted = True
        return copy

    @property
    def is_trusted(self) -> bool:
        """Whether the code may be run."""
        return self._trusted

    def require_module(self) -> None:
        """Raise SweepError if there is no file of the module, without running any of it."""
        self._require_path()
        name = self.path.rpartition(".")[0]
        with _searched_first(self.directory):
            if _file_of(name) is None:
                raise self._not_imported(name, "there is no such module")

    def _require_path(self) -> None:
        if "." not in self.path.strip("."):
            raise SweepError(
                f"loss.path = {shown(self.path)} has no module; use for example my_losses.Amplitude"
            )

    def _not_imported(self, name: str, reason: str) -> SweepError:
        return SweepError(
            f"loss.path = {shown(self.path)} cannot be imported ({reason}); "
            f"put {name}.py into {Path(self.directory).resolve()} or install its package"
        )

    def code(self) -> str:
        """Description of the module that :meth:`build` would import, found without running any of it."""
        name = self.path.rpartition(".")[0]
        with _searched_first(self.directory):
            return f"module {name} ({_file_of(name) or 'which was not found'})"

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
        UntrustedLossError
            If nobody has said that the code may be run.
        SweepError
            If the import fails, the class does not accept the parameters, or the loss is not valid.
        """
        self._require_path()
        if not self._trusted:
            raise UntrustedLossError(
                f"loss.path = {shown(self.path)} would run the code of {self.code()}; if you trust whoever "
                "wrote it, allow that with --trust, or with open_sweep(..., trust=True)"
            )
        try:
            with time_limit(_PROCESSOR_SECONDS, _SECONDS):
                return examined(self._built())
        except TooSlow as error:
            raise SweepError(
                f"loss.path = {shown(self.path)} {error} and was stopped; does it loop?"
            ) from error
        except LossError as error:
            raise SweepError(f"loss.path = {shown(self.path)}: {error}") from error

    def _built(self) -> object:
        module_name, _, attribute = self.path.rpartition(".")
        target = getattr(self._module(module_name), attribute, None)
        if target is None:
            raise LossError(f"module {module_name} has no {attribute!r}; name a loss that it defines")
        if isinstance(target, type) or self.parameters:
            try:
                return target(**self.parameters)
            except (Exception, SystemExit) as error:
                raise SweepError(
                    f"loss.path = {shown(self.path)} cannot be called with parameters "
                    f"{shown(self.parameters)}: {_reason(error)}"
                ) from error
        return target

    def _module(self, name: str) -> Any:
        directory = str(Path(self.directory).resolve())
        try:
            with _searched_first(self.directory):
                return importlib.import_module(name)
        except TooSlow:
            raise
        except BaseException as error:  # importing a module may exit or raise KeyboardInterrupt
            raise self._not_imported(name, _reason(error)) from error
        finally:
            if directory not in sys.path:
                sys.path.append(directory)  # searched last by any later import


@contextmanager
def _searched_first(directory: str) -> Iterator[None]:
    """Search ``directory`` first for modules while the block runs."""
    first = str(Path(directory).resolve())
    sys.path.insert(0, first)
    try:
        yield
    finally:
        sys.path.remove(first)


def _file_of(name: str) -> str | None:
    """File of a module, found without importing it or the packages that contain it; None if there is none."""
    place: Any = None
    origin = None
    for end in range(1, name.count(".") + 2):
        full = ".".join(name.split(".")[:end])
        try:
            found = next(filter(None, (finder.find_spec(full, place) for finder in sys.meta_path)), None)
        except (ImportError, AttributeError, ValueError, OSError):
            return None
        if found is None:
            return None
        origin, place = found.origin, found.submodule_search_locations
        if place is None and end <= name.count("."):
            return None
    return origin


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".rstrip(": ").split())


LossSpec = Annotated[NormalisedQuarticSpec | QuarticSpec | CustomLossSpec, Field(discriminator="kind")]


def trusted_loss(loss: LossSpec) -> LossSpec:
    """The loss, whose code may be run."""
    return loss.trusted() if isinstance(loss, CustomLossSpec) else loss


def foreign_code(loss: LossSpec) -> str | None:
    """Description of the code that building the loss would run without permission; None if there is none.

    Raises
    ------
    SweepError
        If there is no such code.
    """
    if not isinstance(loss, CustomLossSpec) or loss.is_trusted:
        return None
    loss.require_module()
    return loss.code()


def describe_loss(loss: LossSpec) -> str:
    """Readable name of the loss."""
    if isinstance(loss, NormalisedQuarticSpec):
        return f"normalised quartic loss, a = {loss.a:g}"
    return "quartic loss" if isinstance(loss, QuarticSpec) else f"loss {loss.path}"
