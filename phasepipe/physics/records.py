"""Records of a run: its outcome and its time series at fixed times.

:class:`RunLog` receives the accepted steps of any integrator. It interpolates them to the record
times, finds first passages through the recovery threshold, certifies traps, and returns the runs that have
ended.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasepipe.physics.arrays import Vectors
from phasepipe.physics.continuation import RunStates
from phasepipe.physics.field import GradientField, Observation
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.protocol import Predictor
from phasepipe.physics.steps import Steps, first_crossings, reached, records_passed
from phasepipe.physics.traps import trap_margin
from phasepipe.variables import COORDINATES, ENGINE, SNAPSHOT, STATE, flags

Float = NDArray[np.float64]
Int = NDArray[np.intp]

# A run that failed the test is tested again when its gradient has shrunk by a factor within these bounds.
# Near a minimum the margin goes with a power of the gradient, about -1.5.
_SHRINK, _MARGIN_POWER = (0.2, 0.5), 1.5
_NEAR_SIGNAL = 0.99  # above this |m| a minimum may be the signal itself and is not called a trap
_QUEUE = 256  # records are evaluated in batches of at least this many points, and at small M of more:
_QUEUED_PREDICTIONS = 2**18  # numbers of all predictions in a batch


class RunLog:
    """Outcomes and records of a batch of runs.

    Parameters
    ----------
    field
        Instances and loss of the batch.
    times
        Record times, ascending from 0, at most ``t_max``, shape (time,).
    t_max
        Time budget. What happens at this time or later is not seen: a longer run decides it.
    recovery_threshold
        A run has recovered when ``|m|`` passes this value.
    gradient_tolerance
        A run is tested for a trap once ``|g| / sqrt(N)`` is below this value.
    predictor
        Additional observables of every record from labels and predictions only.
    snapshots
        Indices into ``times`` at which the points of ``snapshot_runs`` are stored.
    snapshot_runs
        Mask of the runs whose points are stored, shape (runs,) bool.
    """

    def __init__(
        self,
        field: GradientField,
        times: Float,
        t_max: float,
        recovery_threshold: float,
        gradient_tolerance: float,
        predictor: Predictor | None = None,
        snapshots: Int | None = None,
        snapshot_runs: NDArray[np.bool_] | None = None,
    ) -> None:
        runs = len(field.owner)
        self.field = field
        self.times = times
        self.t_max = t_max
        self.recovery_threshold = recovery_threshold
        self.gradient_tolerance = gradient_tolerance
        self.predictor = predictor
        self.outcome = np.full(runs, Outcome.PENDING, np.uint8)
        self.recovery_time = np.full(runs, np.nan)
        self.end_time = np.full(runs, np.nan)
        self.series: dict[str, NDArray[np.float32]] = {}
        self._arrays = field.arrays
        signals = np.stack([problem.signal for problem in field.problems]).astype(field.dtype)
        self._signals = self._arrays.send(signals)
        self._next = np.zeros(runs, np.intp)
        self._examine_below = np.full(runs, gradient_tolerance)
        self._queue: list[tuple[Int, Int, Vectors]] = []
        self._queued = 0
        self._batch = max(_QUEUE, _QUEUED_PREDICTIONS // field.M)
        self._snapshots = np.arange(0) if snapshots is None else snapshots
        self._snapshot_runs = np.zeros(runs, bool) if snapshot_runs is None else snapshot_runs
        self.snapshot_points = np.full(
            (int(self._snapshot_runs.sum()), len(self._snapshots), field.N), np.nan, np.float32
        )

    def _overlap(self, runs: Int, points: Vectors) -> Float:
        products = self._arrays.projections(points, self._signals, self.field.owner[runs])
        return self._arrays.fetch(products).astype(np.float64) / self.field.N

    def begin(self, points: Vectors, states: RunStates) -> Int:
        """Record the starts, shape (runs, N); return the runs that start above the threshold.

        Runs that have a state go on: their records up to the time of the state are not taken again.
        """
        reached_before = states.scalars["time"]
        continued = np.isfinite(reached_before)
        self._next[:] = np.where(continued, records_passed(self.times, reached_before), 1)
        stored = states.scalars["examine_below"]
        self._examine_below[continued] = stored[continued]
        runs = np.flatnonzero(~continued)
        points = points[self._arrays.index(runs)]
        self._enqueue(runs, np.zeros(len(runs), np.intp), points)
        at_signal = np.abs(self._overlap(runs, points)) >= self.recovery_threshold
        self._end(runs[at_signal], Outcome.RECOVERED, np.zeros(int(at_signal.sum())))
        self.recovery_time[runs[at_signal]] = 0.0
        return runs[at_signal]

    def take(self, steps: Steps) -> Int:
        """Record accepted steps; return the runs that ended in them."""
        if len(steps.run) == 0:
            return steps.run
        until = steps.time + steps.step
        last = reached(until, self.t_max)
        until[last] = self.t_max
        overlap = self._overlap(steps.run, steps.next_point)
        recovered = np.abs(overlap) >= self.recovery_threshold
        if recovered.any():
            until[recovered] = np.minimum(until[recovered], self._passages(steps.select(recovered)))
            recovered &= until < self.t_max
        self.recovery_time[steps.run[recovered]] = until[recovered]
        self._end(steps.run[recovered], Outcome.RECOVERED, until[recovered])
        self._record(steps, until)
        trapped = self._certify(steps, until, ~last)
        spent = last & ~recovered
        self._end(steps.run[spent], Outcome.UNDECIDED, until[spent])
        return np.concatenate([steps.run[recovered], trapped, steps.run[spent]])

    def finish(self, diverged: NDArray[np.bool_]) -> None:
        """Evaluate the remaining queued records and mark diverged runs."""
        self.outcome[diverged] = Outcome.DIVERGED
        self._flush()

    def _end(self, runs: Int, outcome: Outcome, times: Float) -> None:
        self.outcome[runs] = outcome
        self.end_time[runs] = times

    def _passages(self, steps: Steps) -> Float:
        """Times at which ``|m|`` first passes the threshold within each step, on its cubic interpolant."""
        before, slope_before, after, slope_after = (
            self._overlap(steps.run, vectors)
            for vectors in (steps.point, steps.velocity, steps.next_point, steps.next_velocity)
        )
        sign = np.sign(after)
        scale = sign * steps.step
        fractions = first_crossings(
            sign * before, sign * after, scale * slope_before, scale * slope_after, self.recovery_threshold
        )
        return steps.time + fractions * steps.step

    def _record(self, steps: Steps, until: Float) -> None:
        """Queue the interpolated points of all record times within the steps."""
        first = self._next[steps.run]
        stop = records_passed(self.times, until)
        passed = np.maximum(stop - first, 0)
        if not passed.any():
            return
        rows = np.repeat(np.arange(len(steps.run)), passed)
        index = np.arange(len(rows)) + np.repeat(first + passed - np.cumsum(passed), passed)
        fractions = np.minimum((self.times[index] - steps.time[rows]) / steps.step[rows], 1.0)
        self._enqueue(steps.run[rows], index, steps.interpolate(rows, fractions))
        self._next[steps.run] = np.maximum(stop, first)

    def _certify(self, steps: Steps, until: Float, within: NDArray[np.bool_]) -> Int:
        """Runs that provably never recover, see :func:`phasepipe.physics.traps.trap_margin`.

        See docs/explanation/physics.md §3.

        The test costs as much as about N evaluations. A run is therefore tested when its gradient becomes
        small, and again when the gradient has shrunk by the factor that the last test suggests. Only steps
        ``within`` the time budget count, so that a longer budget does not change when a run is certified.
        """
        open_runs = within & (self.outcome[steps.run] == Outcome.PENDING)
        norm = np.sqrt(self.field.products(steps.next_velocity, steps.next_velocity) / self.field.N)
        candidates = np.flatnonzero(open_runs & (norm < self._examine_below[steps.run]))
        if len(candidates):
            overlap = self._overlap(steps.run, steps.next_point)
            candidates = candidates[np.abs(overlap[candidates]) < _NEAR_SIGNAL]
        if len(candidates) == 0:
            return candidates
        margins = np.array(
            [
                trap_margin(
                    self.field.problems[self.field.owner[steps.run[row]]],
                    self.field.loss,
                    self._arrays.fetch(steps.next_point[int(row)]),
                    self.recovery_threshold,
                )
                for row in candidates
            ]
        )
        shrink = np.where(margins > 0, margins ** (1 / _MARGIN_POWER), _SHRINK[1])
        self._examine_below[steps.run[candidates]] = np.clip(shrink, *_SHRINK) * norm[candidates]
        certified = candidates[margins > 1]
        self._end(steps.run[certified], Outcome.TRAPPED, until[certified])
        return steps.run[certified]

    def _enqueue(self, runs: Int, index: Int, points: Vectors) -> None:
        self._queue.append((runs, index, points))
        self._queued += len(runs)
        if self._queued >= self._batch:
            self._flush()

    def _flush(self) -> None:
        if not self._queue:
            return
        runs, index = (np.concatenate([part[place] for part in self._queue]) for place in (0, 1))
        points = self._arrays.concatenate([part[2] for part in self._queue])
        self._queue, self._queued = [], 0
        order = np.argsort(runs, kind="stable")
        runs, index, points = runs[order], index[order], points[self._arrays.index(order)]
        overlap = self._overlap(runs, points)
        observed = self.field.observe(points, runs)
        values: dict[str, Float] = {
            "overlap": overlap,
            "loss": observed.loss,
            "gradient_norm": observed.gradient_norm,
            "mu": observed.mu,
        }
        if self.predictor is not None:
            values.update(self._predict(self.predictor, runs, overlap, observed))
        for name, column in values.items():
            if name not in self.series:
                self.series[name] = np.full((len(self._next), len(self.times)), np.nan, np.float32)
            self.series[name][runs, index] = column
        self._keep_snapshots(runs, index, points)

    def _predict(
        self, predictor: Predictor, runs: Int, overlap: Float, observed: Observation
    ) -> dict[str, Float]:
        # runs that are continued from states at their end have no record left
        segments = list(self.field.segments(runs)) or [(0, slice(0))]
        pieces = [
            predictor(self.field.problems[instance].labels, observed.predictions[rows], overlap[rows])
            for instance, rows in segments
        ]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def _keep_snapshots(self, runs: Int, index: Int, points: Vectors) -> None:
        wanted = self._snapshot_runs[runs] & np.isin(index, self._snapshots)
        row = np.cumsum(self._snapshot_runs) - 1
        at = np.searchsorted(self._snapshots, index[wanted])
        kept = self._arrays.fetch(points[self._arrays.index(wanted)])
        self.snapshot_points[row[runs[wanted]], at] = kept

    def dataset(self, evaluations: Int, states: RunStates) -> xr.Dataset:
        """Labelled results, dimensions (start, time); records after the end of a run are NaN.

        ``states`` of runs that are not undecided are erased.
        """
        states.scalars["examine_below"][:] = self._examine_below
        states.vectors[self.outcome != Outcome.UNDECIDED] = np.nan
        columns: dict[str, NDArray[np.generic]] = {
            "outcome": self.outcome,
            "recovery_time": self.recovery_time,
            "end_time": self.end_time,
            "evaluations": evaluations,
            **self.series,
            "state": states.vectors,
        }
        variables = ENGINE | STATE | dict(self.predictor.variables if self.predictor else {})
        result = xr.Dataset(coords={"time": ("time", self.times, COORDINATES["time"].attributes())})
        for name, values in columns.items():
            variable = variables[name]
            result[name] = (variable.dims, values.astype(variable.dtype), variable.attributes())
        result["outcome"].attrs |= flags(Outcome)
        if len(self._snapshots):
            dims = ("snapshot_run", "snapshot_time", "component")
            result["snapshot"] = (dims, self.snapshot_points, SNAPSHOT.attributes())
            kept = self.times[self._snapshots]
            result = result.assign_coords(
                snapshot_run=("snapshot_run", np.flatnonzero(self._snapshot_runs)),
                snapshot_time=("snapshot_time", kept, COORDINATES["snapshot_time"].attributes()),
            )
        return result
