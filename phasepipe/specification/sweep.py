"""The specification of a sweep, typed and validated.

A sweep is one entry of ``sweeps`` in ``config/config.yaml``. Mistakes of the user are rejected here, before
any computation starts; :mod:`phasepipe.specification.configuration` turns the error into a sentence.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    Discriminator,
    Field,
    StrictBool,
    Tag,
    field_validator,
    model_validator,
)

from phasepipe.physics.problem import measurement_count
from phasepipe.physics.protocol import MOST_STEPS, Descent, Flow, RunProtocol
from phasepipe.physics.record_times import nested_times
from phasepipe.physics.start_kinds import StartKind
from phasepipe.specification.base import Count, Dimension, Model, Real, Time, Whole, repeated
from phasepipe.specification.cluster import ClusterSpec, LocalCluster
from phasepipe.specification.dynamics import DescentSpec, DynamicsSpec, FlowSpec
from phasepipe.specification.dynamics_theory import OptionalDynamicsTheory, true_as_defaults
from phasepipe.specification.grid import AlphaGrid, AlphaRange, RefinedCell, SnapshotSpec, common_or_per_size
from phasepipe.specification.loss import LossSpec, trusted_loss
from phasepipe.specification.precision import Precision
from phasepipe.specification.sensing import GaussianSensing, SensingSpec
from phasepipe.specification.starts import StartSpec

# kind, overlap m0 (NaN if the kind has none) and number of a start
StartKey = tuple[int, float, int]

_LONGEST_NAME = 100  # file systems allow 255 bytes, including the suffixes of drafts and archives
_RESERVED = {"instances", "runs", "spectra", "figures", "logs", "benchmarks"} | {"con", "prn", "aux", "nul"}
_RESERVED |= {f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)}
_LARGEST_INSTANCE = 10**12  # bytes
_MOST_RUNS = 10**9


class Sweep(Model):
    """One sweep over N, alpha, instances and starts."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="a valid folder name of letters, digits, _, . and -",
        examples=["demo"],
    )
    loss: LossSpec = Field(description="Loss function", examples=[{"kind": "normalised_quartic", "a": 0.01}])
    N: Annotated[list[Dimension], Field(min_length=1)] = Field(
        description="Dimensions of the signal", examples=[[64, 128, 256]]
    )
    alpha: Annotated[
        Annotated[AlphaGrid, Tag("common")]
        | Annotated[dict[int, AlphaGrid], Field(min_length=1), Tag("per_N")],
        Discriminator(common_or_per_size),
    ] = Field(
        description="Signal-to-noise ratios alpha = M/N: a list, a range, or a list or range for each N",
        examples=[{"start": 1.5, "stop": 4.5, "step": 0.25}],
    )
    instances: Count = Field(description="Instances per (N, alpha)", examples=[64])
    starts: Annotated[list[StartSpec], Field(min_length=1)] = Field(
        description="Initial points of the runs on each instance",
        examples=[[{"kind": "random", "count": 16}]],
    )
    refine: list[RefinedCell] = Field(
        default=[],
        description="Additional alphas with their own number of instances, as phasepipe refine proposes them",
        examples=[[{"N": 128, "alpha": 2.3, "instances": 200}]],
    )
    precision: Precision | None = Field(
        default=None,
        description="How well alpha_50 is wanted; alphas and instances are added in rounds until it is",
        examples=[{"alpha_50": 0.02, "core_hours": 2}],
    )
    dynamics: DynamicsSpec = Field(
        default=FlowSpec(),
        description="Gradient flow, or gradient descent with a fixed step",
        examples=[{"kind": "flow", "relative_tolerance": 0.01}],
    )
    t_max: Time = Field(default=100.0, description="Time budget of a run", examples=[100])
    recovery_threshold: Real = Field(
        default=0.99, gt=0, lt=1, description="|m| above which a run has recovered", examples=[0.99]
    )
    gradient_tolerance: Real = Field(
        default=1e-3,
        gt=0,
        le=1e3,
        description="|g|/sqrt(N) below which a run is tested for a trap",
        examples=[0.001],
    )
    records_per_decade: Whole = Field(
        default=8, ge=1, le=1000, description="Record times per decade of time", examples=[8]
    )
    snapshots: SnapshotSpec = Field(
        default=SnapshotSpec(),
        description="Runs that keep points w(t), at which the Hessian is diagonalised",
        examples=[{"instances": 8, "starts": 2, "per_decade": 2}],
    )
    zero_signal: StrictBool = Field(
        default=False, description="Control: labels independent of the sensing matrix", examples=[True]
    )
    sensing: SensingSpec = Field(
        default=GaussianSensing(), description="Ensemble of the sensing matrix", examples=[{"kind": "signs"}]
    )
    noise: Real = Field(
        default=0.0, ge=0, le=1e3, description="Standard deviation of the label noise", examples=[0.01]
    )
    store_sensing: StrictBool = Field(
        default=False, description="Store the sensing matrices", examples=[True]
    )
    seed: Whole = Field(
        default=0, ge=0, lt=2**63, description="Root seed of all random numbers", examples=[20240302]
    )
    dtype: Literal["float32", "float64"] = Field(
        default="float32", description="Precision of the runs", examples=["float64"]
    )
    device: Literal["cpu", "gpu"] = Field(
        default="cpu",
        description="Device of the runs; gpu needs PyTorch, and falls back to cpu without a GPU",
        examples=["gpu"],
    )
    dynamics_theory: OptionalDynamicsTheory = None
    block_instances: Count | None = Field(
        default=None,
        description="Instances per Dask task and Zarr chunk; default depends on N and alpha",
        examples=[8],
    )
    cluster: ClusterSpec = Field(
        default=LocalCluster(),
        description="Where blocks are computed",
        examples=[{"kind": "local", "workers": 4}],
    )

    @field_validator("dynamics_theory", mode="before")
    @classmethod
    def _true_as_defaults(cls, value: Any) -> Any:
        return true_as_defaults(value)

    @field_validator("name")
    @classmethod
    def _free_name(cls, name: str) -> str:
        if len(name) > _LONGEST_NAME:
            raise ValueError(f"= {name[:20]}... has {len(name)} characters; use at most {_LONGEST_NAME}")
        if name.lower().split(".")[0] in _RESERVED or name.endswith("."):
            raise ValueError(
                f"= {name!r} is reserved for folders inside results or by Windows; choose another name"
            )
        return name

    @field_validator("N")
    @classmethod
    def _distinct_sizes(cls, sizes: list[int]) -> list[int]:
        if (N := repeated(sizes)) is not None:
            raise ValueError(f"N = {N} occurs twice; list every N once")
        return sizes

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_alphas()
        self._check_starts()
        if self.records_per_decade % self.snapshots.per_decade:
            raise ValueError(
                f"snapshots.per_decade = {self.snapshots.per_decade} does not divide "
                f"records_per_decade = {self.records_per_decade}; use a divisor of it"
            )
        if self.precision is not None:
            alphas = {N: self.alphas(N) for N in self.N}
            self.precision.check(alphas, [start.kind for start in self.starts], self.zero_signal)
        if self.dynamics_theory is not None:
            self.dynamics_theory.check(alpha for N in self.N for alpha in self.alphas(N))
        self._check_size()
        self.protocol()  # tolerance against dtype
        return self

    def _check_alphas(self) -> None:
        if isinstance(self.alpha, dict) and set(self.alpha) != set(self.N):
            raise ValueError(
                f"alpha is given for N = {sorted(self.alpha)}, but N is {self.N}; use the same N in both"
            )
        for cell in self.refine:
            if cell.N not in self.N:
                raise ValueError(f"refine contains N = {cell.N}, but N is {self.N}; add it to N first")
        for N in self.N:
            seen: dict[int, float] = {}
            if not self.alphas(N):
                raise ValueError("alpha is an empty range; stop must not be below start")
            for alpha in self.alphas(N):
                M = measurement_count(N, alpha)
                if M in seen:
                    raise ValueError(
                        f"alpha = {seen[M]} and alpha = {alpha} both give M = {M} at N = {N}; remove one"
                    )
                seen[M] = alpha

    def _check_starts(self) -> None:
        keys = [(start.kind, getattr(start, "m0", None)) for start in self.starts]
        if (twice := repeated(keys)) is not None:
            kind, m0 = twice
            which = f"starts of kind {kind}" + ("" if m0 is None else f" with m0 = {m0}")
            raise ValueError(f"{which} occur twice; add their counts")
        for kind, _ in keys:
            if kind in ("warm", "threshold") and self.zero_signal:
                raise ValueError(f"{kind} starts need a signal; remove them or set zero_signal: false")
            if kind == "threshold" and not isinstance(self.sensing, GaussianSensing):
                raise ValueError(
                    f"starts of kind threshold need sensing.kind = 'gaussian', not {self.sensing.kind!r}"
                )
        if self.noise and self.zero_signal:
            raise ValueError(f"noise = {self.noise} has no effect with zero_signal: true; remove one of them")

    def _check_size(self) -> None:
        """Reject sweeps that exceed the memory or time of any machine."""
        starts = sum(start.count for start in self.starts)
        for N in self.N:
            M = max(self.measurements(N))
            needed = 4 * N * M + 16 * starts * (N + M)  # one sensing matrix, and all starts on it
            if needed > _LARGEST_INSTANCE:
                raise ValueError(
                    f"N = {N} with alpha = {max(self.alphas(N)):g} and {starts} starts needs "
                    f"{needed / 1e9:.0f} GB for one instance; {_LARGEST_INSTANCE / 1e9:.0f} GB is the limit, "
                    "so reduce one of them"
                )
        if self.run_count() > _MOST_RUNS:
            raise ValueError(
                f"the sweep has {self.run_count():.1e} runs, and the limit is {_MOST_RUNS:.0e}; "
                "use fewer instances or starts"
            )
        if isinstance(self.dynamics, DescentSpec) and self.t_max / self.dynamics.learning_rate > MOST_STEPS:
            raise ValueError(
                f"dynamics.learning_rate = {self.dynamics.learning_rate:g} needs more than "
                f"{MOST_STEPS:.0e} steps to t_max = {self.t_max:g}; use a larger one"
            )

    def _grid(self, N: int) -> list[float]:
        """Signal-to-noise ratios at ``N`` without those added by ``refine``."""
        grid = self.alpha[N] if isinstance(self.alpha, dict) else self.alpha
        return grid.values() if isinstance(grid, AlphaRange) else list(grid)

    def alphas(self, N: int) -> list[float]:
        """Requested signal-to-noise ratios at ``N``."""
        alphas = self._grid(N)
        known = {measurement_count(N, alpha) for alpha in alphas}
        extra = [cell.alpha for cell in self.refine if cell.N == N]
        return alphas + [alpha for alpha in extra if measurement_count(N, alpha) not in known]

    def measurements(self, N: int) -> list[int]:
        """Numbers of measurements at ``N``, one per alpha."""
        return [measurement_count(N, alpha) for alpha in self.alphas(N)]

    def instances_at(self, N: int) -> dict[int, int]:
        """Number of instances for every number of measurements at ``N``, including those of ``refine``."""
        refined = {measurement_count(N, cell.alpha): cell.instances for cell in self.refine if cell.N == N}
        counts = {measurement_count(N, alpha): self.instances for alpha in self._grid(N)}
        return refined | {M: max(count, refined.get(M, 0)) for M, count in counts.items()}

    def precise_sizes(self) -> list[int]:
        """The N at which the key ``precision`` wants alpha_50, in its order; empty without the key."""
        return [] if self.precision is None else self.precision.sizes(self.N)

    def start_keys(self) -> list[StartKey]:
        """Kind, overlap and number of every start of an instance."""
        return [
            (int(StartKind[start.kind.upper()]), getattr(start, "m0", float("nan")), number)
            for start in self.starts
            for number in range(start.count)
        ]

    def times(self) -> NDArray[np.float64]:
        """Record times of every run; those of a larger ``t_max`` begin with them."""
        return nested_times(self.t_max, self.records_per_decade)

    def snapshot_indices(self) -> NDArray[np.intp]:
        """Indices into :meth:`times` at which snapshots are taken; t = 0 is included."""
        if not (self.snapshots.instances and self.snapshots.starts):
            return np.arange(0)
        times = self.times()
        wanted = nested_times(self.t_max, self.snapshots.per_decade)
        return np.flatnonzero(np.isclose(times[:, None], wanted[None, :], rtol=1e-9).any(axis=1))

    def protocol(self) -> RunProtocol:
        """Settings of the integrator for every run."""
        dynamics = (
            Flow(self.dynamics.relative_tolerance)
            if isinstance(self.dynamics, FlowSpec)
            else Descent(self.dynamics.learning_rate)
        )
        return RunProtocol(
            dynamics,
            self.times(),
            self.recovery_threshold,
            self.gradient_tolerance,
            self.dtype,
            snapshots=self.snapshot_indices(),
            device=self.device,
            t_max=self.t_max,
        )

    def trusted(self) -> Self:
        """A copy whose own loss, if it has one, may be imported."""
        return self.model_copy(update={"loss": trusted_loss(self.loss)})

    def identity(self) -> dict[str, Any]:
        """Settings that determine the result of a run; a store holds runs of one identity only.

        N, alpha, instances and starts are excluded, because the grid may grow, and so is ``t_max``, because
        runs can be continued. The cluster and the block size do not affect results. The device, like the type
        of processor, affects only rounding errors: a sweep may be continued on a machine without a GPU, where
        "gpu" means the CPU anyway.
        """
        growing = {"name", "N", "alpha", "instances", "starts", "refine", "precision", "t_max"}
        deciding_nothing = {"cluster", "block_instances", "device", "dynamics_theory"}
        settings = self.model_dump(mode="json", exclude=growing | deciding_nothing)
        settings["loss"].pop("directory", None)
        # omit default values, so that stores made before these keys existed remain valid
        if isinstance(self.sensing, GaussianSensing):
            settings.pop("sensing")
        if not self.noise:
            settings.pop("noise")
        return settings

    def grid_key(self, N: int) -> dict[str, Any]:
        """Settings that determine the runs at ``N`` and their results; workflow rules depend on them."""
        return self.identity() | {
            "N": N,
            "t_max": self.t_max,
            "measurements": self.measurements(N),
            "instances": self.instances_at(N),
            "starts": [start.model_dump(mode="json") for start in self.starts],
        }

    def grid_digest(self) -> str:
        """Digest of :meth:`grid_key` at all N, and of the precision wanted.

        If it changes, there may be new runs to compute.
        """
        asked: list[Any] = [self.grid_key(N) for N in self.N]
        if self.precision is not None:
            asked.append(self.precision.model_dump(mode="json"))
        grids = json.dumps(asked, sort_keys=True)
        return hashlib.sha256(grids.encode()).hexdigest()[:12]

    def dynamics_digest(self) -> str:
        """Digest of the settings of the predicted dynamics for N to infinity."""
        wanted = self.dynamics_theory.model_dump(mode="json") if self.dynamics_theory else None
        text = json.dumps([self.grid_digest(), wanted], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def run_count(self) -> int:
        """Number of runs at all N, including the instances added by ``refine``."""
        instances = sum(sum(self.instances_at(N).values()) for N in self.N)
        return instances * sum(start.count for start in self.starts)
