"""The parts of a sweep's specification: loss, starts, dynamics, grid, snapshots."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveInt,
    Tag,
    model_validator,
)

from phasepipe.errors import UserError
from phasepipe.physics import ensembles
from phasepipe.physics.losses import Loss, NormalisedQuartic, Quartic, require_loss


class SweepError(UserError, ValueError):
    """A sweep that cannot be run; the message is one sentence for the user."""


# far beyond any machine; what is larger is a slip of the pen, better told here than by a lack of memory
_LARGEST_ALPHA = 1e6
_LONGEST_RANGE = 10_000

FinitePositive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Alpha = Annotated[float, Field(gt=0, le=_LARGEST_ALPHA)]
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


class RandomStarts(Model):
    """Starts uniform on the sphere."""

    kind: Literal["random"]
    count: Count = Field(description="Starts per instance")


class WarmStarts(Model):
    """Starts of given overlap with the signal."""

    kind: Literal["warm"]
    count: Count = Field(description="Starts per instance")
    m0: float = Field(ge=0, lt=1, description="Overlap of the start with the signal")


class SpectralStarts(Model):
    """The spectral start: top eigenvector of the optimally weighted covariance."""

    kind: Literal["spectral"]
    count: Annotated[int, Field(ge=1, le=1)] = Field(default=1, description="An instance has one")


class CurvatureStarts(Model):
    """Lowest eigenvector of the Hessian at a random point."""

    kind: Literal["curvature"]
    count: Count = Field(description="Starts per instance")


class ThresholdStarts(Model):
    """Threshold states, prepared without signal for the time t_max, then planted."""

    kind: Literal["threshold"]
    count: Count = Field(description="Starts per instance")


StartSpec = Annotated[
    RandomStarts | WarmStarts | SpectralStarts | CurvatureStarts | ThresholdStarts,
    Field(discriminator="kind"),
]


class GaussianSensing(Model):
    """Sensing matrix with entries iid N(0, 1)."""

    kind: Literal["gaussian"] = "gaussian"

    def build(self) -> ensembles.Ensemble:
        """The ensemble."""
        return ensembles.GAUSSIAN


class SignSensing(Model):
    """Sensing matrix of random signs."""

    kind: Literal["signs"]

    def build(self) -> ensembles.Ensemble:
        """The ensemble."""
        return ensembles.Signs()


class SphereSensing(Model):
    """Sensing matrix with rows on the sphere of radius sqrt(N)."""

    kind: Literal["sphere"]

    def build(self) -> ensembles.Ensemble:
        """The ensemble."""
        return ensembles.Sphere()


class CorrelatedSensing(Model):
    """Gaussian sensing matrix whose columns i and j have correlation rho^|i - j|."""

    kind: Literal["correlated"]
    rho: float = Field(gt=-1, lt=1, description="Correlation of neighbouring columns")

    def build(self) -> ensembles.Ensemble:
        """The ensemble."""
        return ensembles.Correlated(self.rho)


class OrthogonalSensing(Model):
    """Sensing matrix with orthogonal columns."""

    kind: Literal["orthogonal"]

    def build(self) -> ensembles.Ensemble:
        """The ensemble."""
        return ensembles.Orthogonal()


SensingSpec = Annotated[
    GaussianSensing | SignSensing | SphereSensing | CorrelatedSensing | OrthogonalSensing,
    Field(discriminator="kind"),
]


class FlowSpec(Model):
    """Gradient flow by the batched Runge-Kutta-Chebyshev integrator."""

    kind: Literal["flow"] = "flow"
    relative_tolerance: float = Field(
        default=1e-2, gt=0, le=0.1, description="Error of a step relative to |w|"
    )


class DescentSpec(Model):
    """Literal gradient descent with a fixed learning rate."""

    kind: Literal["descent"]
    learning_rate: FinitePositive = Field(description="Fixed step, below 2 / lambda_max at the start")


DynamicsSpec = Annotated[FlowSpec | DescentSpec, Field(discriminator="kind")]


class AlphaRange(Model):
    """Evenly spaced alphas, both ends included."""

    start: Alpha
    stop: Alpha
    step: FinitePositive

    @model_validator(mode="after")
    def _of_sensible_length(self) -> Self:
        if (self.stop - self.start) / self.step > _LONGEST_RANGE:
            raise ValueError(
                f"alpha.step = {self.step} makes more than {_LONGEST_RANGE} alphas; take a larger step"
            )
        return self

    def values(self) -> list[float]:
        """The alphas, rounded to 1e-9 against drift."""
        count = int(np.floor((self.stop - self.start) / self.step + 1e-9)) + 1
        return [round(self.start + index * self.step, 9) for index in range(max(count, 0))]


AlphaList = Annotated[list[Alpha], Field(min_length=1)]


def _list_or_range(value: Any) -> str:
    return "range" if isinstance(value, dict | AlphaRange) else "list"


AlphaGrid = Annotated[
    Annotated[AlphaList, Tag("list")] | Annotated[AlphaRange, Tag("range")], Discriminator(_list_or_range)
]


def common_or_per_size(value: Any) -> str:
    """Tell a grid for all N from a mapping of N to grids."""
    per_size = isinstance(value, dict) and not set(value) & set(AlphaRange.model_fields)
    return "per_N" if per_size else "common"


class SnapshotSpec(Model):
    """Runs whose points w(t) are kept for diagonalisation: the first starts of the first instances."""

    instances: NonNegativeInt = 0
    starts: NonNegativeInt = 0
    per_decade: PositiveInt = Field(
        default=2, description="Snapshots per decade of time; divides records_per_decade"
    )


class RefinedCell(Model):
    """One alpha at one N that gets instances of its own number: a finer grid where it matters."""

    N: Dimension
    alpha: FinitePositive
    instances: Count = Field(description="Instances in all, not in addition")
