"""The specification of a sweep: typed and validated.

A sweep is one entry of ``sweeps`` in ``config/config.yaml``. What a user can get wrong is refused here,
before any computing starts; :mod:`phasepipe.specification.configuration` turns the complaint into a sentence.
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

from phasepipe.physics.flow import Descent, Flow, RunProtocol
from phasepipe.physics.problem import measurement_count
from phasepipe.physics.records import record_times
from phasepipe.physics.starts import StartKind
from phasepipe.specification.base import Count, Dimension, Model, Real, Time, Whole
from phasepipe.specification.cluster import ClusterSpec, LocalCluster
from phasepipe.specification.dynamics import DescentSpec, DynamicsSpec, FlowSpec
from phasepipe.specification.dynamics_theory import OptionalDynamicsTheory, true_as_defaults
from phasepipe.specification.grid import AlphaGrid, AlphaRange, RefinedCell, SnapshotSpec, common_or_per_size
from phasepipe.specification.loss import LossSpec
from phasepipe.specification.sensing import GaussianSensing, SensingSpec
from phasepipe.specification.starts import StartSpec

# kind, overlap m0 (NaN where the kind has none) and number of a start
StartKey = tuple[int, float, int]

_LONGEST_NAME = 100  # file systems take 255 bytes, with what is added for drafts and archives
_RESERVED = {"instances", "runs", "spectra", "figures", "logs", "benchmarks"} | {"con", "prn", "aux", "nul"}
_RESERVED |= {f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)}
_LARGEST_INSTANCE = 10**12  # bytes
_MOST_RUNS = 10**9
_MOST_STEPS = 10**10


class Sweep(Model):
    """One sweep over N, alpha, instances and starts."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="letters, digits, _, . and -, as the name of a folder",
        examples=["demo"],
    )
    loss: LossSpec
    N: Annotated[list[Dimension], Field(min_length=1)] = Field(description="Dimensions")
    alpha: Annotated[
        Annotated[AlphaGrid, Tag("common")]
        | Annotated[dict[int, AlphaGrid], Field(min_length=1), Tag("per_N")],
        Discriminator(common_or_per_size),
    ] = Field(description="Signal-to-noise ratios: a list, a range, or one of either per N")
    instances: Count = Field(description="Instances per (N, alpha)")
    starts: Annotated[list[StartSpec], Field(min_length=1)]
    refine: list[RefinedCell] = Field(
        default=[], description="Alphas with instances of their own number, added to the grid"
    )
    dynamics: DynamicsSpec = FlowSpec()
    t_max: Time = Field(default=100.0, description="Time budget of a run")
    recovery_threshold: Real = Field(
        default=0.99, gt=0, lt=1, description="|m| beyond which a run has recovered"
    )
    gradient_tolerance: Real = Field(
        default=1e-3, gt=0, le=1e3, description="|g|/sqrt(N) below which a run is examined as a trap"
    )
    records_per_decade: Whole = Field(default=8, ge=1, le=1000, description="Record times per decade of time")
    snapshots: SnapshotSpec = SnapshotSpec()
    zero_signal: StrictBool = Field(default=False, description="Labels independent of the sensing matrix")
    sensing: SensingSpec = Field(default=GaussianSensing(), description="Ensemble of the sensing matrix")
    noise: Real = Field(
        default=0.0, ge=0, le=1e3, description="Standard deviation of the noise of the labels"
    )
    store_sensing: StrictBool = Field(default=False, description="Keep the sensing matrices in the store")
    seed: Whole = Field(default=0, ge=0, lt=2**63, description="Root seed of every random stream")
    dtype: Literal["float32", "float64"] = "float32"
    device: Literal["cpu", "gpu"] = Field(
        default="cpu", description="Where runs are computed; gpu needs PyTorch, and is cpu without a GPU"
    )
    dynamics_theory: OptionalDynamicsTheory = None
    block_instances: Count | None = Field(
        default=None, description="Instances per Dask task and Zarr chunk; default chosen from N and alpha"
    )
    cluster: ClusterSpec = LocalCluster()

    @field_validator("dynamics_theory", mode="before")
    @classmethod
    def _true_as_defaults(cls, value: Any) -> Any:
        return true_as_defaults(value)

    @field_validator("name")
    @classmethod
    def _free_name(cls, name: str) -> str:
        if len(name) > _LONGEST_NAME:
            raise ValueError(f"= {name[:20]}... has {len(name)} characters; take at most {_LONGEST_NAME}")
        if name.lower().split(".")[0] in _RESERVED or name.endswith("."):
            raise ValueError(
                f"= {name!r} is a name that folders of results or Windows keep for themselves; take another"
            )
        return name

    @field_validator("N")
    @classmethod
    def _distinct_sizes(cls, sizes: list[int]) -> list[int]:
        for N in sizes:
            if sizes.count(N) > 1:
                raise ValueError(f"N = {N} stands twice; name every N once")
        return sizes

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_alphas()
        self._check_starts()
        if self.records_per_decade % self.snapshots.per_decade:
            raise ValueError(
                f"snapshots.per_decade = {self.snapshots.per_decade} does not divide "
                f"records_per_decade = {self.records_per_decade}; take a divisor of it"
            )
        self._check_size()
        self.protocol()  # tolerance against dtype
        return self

    def _check_alphas(self) -> None:
        if isinstance(self.alpha, dict) and set(self.alpha) != set(self.N):
            raise ValueError(
                f"alpha is given for N = {sorted(self.alpha)}, but N is {self.N}; name the same N in both"
            )
        for cell in self.refine:
            if cell.N not in self.N:
                raise ValueError(f"refine names N = {cell.N}, but N is {self.N}; add it there first")
        for N in self.N:
            seen: dict[int, float] = {}
            if not self.alphas(N):
                raise ValueError("alpha is an empty range; stop must not be below start")
            for alpha in self.alphas(N):
                M = measurement_count(N, alpha)
                if M in seen:
                    raise ValueError(
                        f"alpha = {seen[M]} and alpha = {alpha} both give M = {M} at N = {N}; drop one"
                    )
                seen[M] = alpha

    def _check_starts(self) -> None:
        keys = [(start.kind, getattr(start, "m0", None)) for start in self.starts]
        for kind, m0 in keys:
            if keys.count((kind, m0)) > 1:
                raise ValueError(
                    f"starts of kind {kind} stand twice{'' if m0 is None else f' with m0 = {m0}'}; "
                    "add their counts"
                )
            if kind in ("warm", "threshold") and self.zero_signal:
                raise ValueError(f"{kind} starts need a signal; drop them or set zero_signal: false")
            if kind == "threshold" and not isinstance(self.sensing, GaussianSensing):
                raise ValueError(
                    f"starts of kind threshold need sensing.kind = 'gaussian', not {self.sensing.kind!r}"
                )
        if self.noise and self.zero_signal:
            raise ValueError(f"noise = {self.noise} means nothing with zero_signal: true; drop either")

    def _check_size(self) -> None:
        """Refuse what no machine holds or ends; block by block, the rest is a matter of patience."""
        starts = sum(start.count for start in self.starts)
        for N in self.N:
            M = max(self.measurements(N))
            needed = 4 * N * M + 16 * starts * (N + M)  # one sensing matrix, and all starts on it
            if needed > _LARGEST_INSTANCE:
                raise ValueError(
                    f"N = {N} with alpha = {max(self.alphas(N)):g} and {starts} starts needs "
                    f"{needed / 1e9:.0f} GB for one instance; {_LARGEST_INSTANCE / 1e9:.0f} GB is the limit, "
                    "so take less of one of them"
                )
        if self.run_count() > _MOST_RUNS:
            raise ValueError(
                f"the sweep has {self.run_count():.1e} runs, and {_MOST_RUNS:.0e} are the limit; "
                "take fewer instances or starts"
            )
        if isinstance(self.dynamics, DescentSpec) and self.t_max / self.dynamics.learning_rate > _MOST_STEPS:
            raise ValueError(
                f"dynamics.learning_rate = {self.dynamics.learning_rate:g} takes more than "
                f"{_MOST_STEPS:.0e} steps to t_max = {self.t_max:g}; take a larger one"
            )

    def _grid(self, N: int) -> list[float]:
        """Signal-to-noise ratios at ``N`` without those that ``refine`` adds."""
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
        """Instances of every number of measurements at ``N``: those of the grid, more or fewer if refined."""
        refined = {measurement_count(N, cell.alpha): cell.instances for cell in self.refine if cell.N == N}
        counts = {measurement_count(N, alpha): self.instances for alpha in self._grid(N)}
        return refined | {M: max(count, refined.get(M, 0)) for M, count in counts.items()}

    def start_keys(self) -> list[StartKey]:
        """Kind, overlap and number of every start of an instance."""
        return [
            (int(StartKind[start.kind.upper()]), getattr(start, "m0", float("nan")), number)
            for start in self.starts
            for number in range(start.count)
        ]

    def times(self) -> NDArray[np.float64]:
        """Record times of every run."""
        return record_times(self.t_max, self.records_per_decade)

    def snapshot_indices(self) -> NDArray[np.intp]:
        """Indices into :meth:`times` at which snapshots are taken; t = 0 and the end included."""
        if not (self.snapshots.instances and self.snapshots.starts):
            return np.arange(0)
        times = self.times()
        wanted = record_times(self.t_max, self.snapshots.per_decade)
        return np.flatnonzero(np.isclose(times[:, None], wanted[None, :], rtol=1e-9).any(axis=1))

    def protocol(self) -> RunProtocol:
        """What the engine is told to do."""
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
        )

    def identity(self) -> dict[str, Any]:
        """The settings that decide the result of a run; a store holds runs of one identity only.

        N, alpha, instances and starts are absent: the grid may grow. So are the cluster and the size of
        blocks, which decide nothing, and the device, which like the make of a processor decides no more than
        rounding: a sweep may go on where there is no GPU, and there "gpu" means the CPU anyway.
        """
        growing = {"name", "N", "alpha", "instances", "starts", "refine"}
        deciding_nothing = {"cluster", "block_instances", "device", "dynamics_theory"}
        settings = self.model_dump(mode="json", exclude=growing | deciding_nothing)
        settings["loss"].pop("directory", None)
        # absent where they change nothing, so that stores from before these keys stay valid
        if isinstance(self.sensing, GaussianSensing):
            settings.pop("sensing")
        if not self.noise:
            settings.pop("noise")
        return settings

    def grid_key(self, N: int) -> dict[str, Any]:
        """What decides which runs exist at ``N`` and what they give; workflow rules depend on it."""
        return self.identity() | {
            "N": N,
            "measurements": self.measurements(N),
            "instances": self.instances_at(N),
            "starts": [start.model_dump(mode="json") for start in self.starts],
        }

    def grid_digest(self) -> str:
        """Digest of :meth:`grid_key` at all N; another one means that there may be something to compute."""
        grids = json.dumps([self.grid_key(N) for N in self.N], sort_keys=True)
        return hashlib.sha256(grids.encode()).hexdigest()[:12]

    def dynamics_digest(self) -> str:
        """Digest of what the prediction of the dynamics for N to infinity depends on."""
        wanted = self.dynamics_theory.model_dump(mode="json") if self.dynamics_theory else None
        text = json.dumps([self.grid_digest(), wanted], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def run_count(self) -> int:
        """Runs at all N, with the instances that ``refine`` adds."""
        instances = sum(sum(self.instances_at(N).values()) for N in self.N)
        return instances * sum(start.count for start in self.starts)
