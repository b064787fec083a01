"""A stored sweep is continued to a larger t_max, with the same bits as if it had been run at once."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
import zarr

import phasepipe as pp
from phasepipe.physics.batch import run_batch
from phasepipe.physics.continuation import RunStates
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.protocol import Descent, Flow, RunProtocol
from phasepipe.physics.record_times import nested_times
from phasepipe.results.status import take_census
from phasepipe.results.verify import verify
from phasepipe.stages.instances import draw_instances
from phasepipe.stages.runs import _filling, layout, run_descent
from phasepipe.stages.spectra import diagonalise_snapshots
from phasepipe.stages.success import estimate_success
from phasepipe.store.block_store import BlockStore, StoreMismatchError
from phasepipe.store.folder import SweepFolder, check_folder
from phasepipe.store.packing import pack
from phasepipe.store.tables import IncompleteError

GRID = {
    "N": [16, 24],
    "alpha": [1.75, 2.25],
    "instances": 4,
    "starts": [{"kind": "random", "count": 4}, {"kind": "threshold", "count": 1}],
    "snapshots": {"instances": 3, "starts": 2, "per_decade": 2},
}
GROWN = GRID | {"alpha": [1.5, 1.75, 2.25], "instances": 5}

OWN_LOSS = """
import numpy as np

class Loss:
    def value(self, yhat, y):
        return np.log1p((yhat * yhat - y * y) ** 2) / 4

    def slope(self, yhat, y):
        d = yhat * yhat - y * y
        return yhat * d / (1 + d * d)

    def curvature(self, yhat, y):
        d = yhat * yhat - y * y
        return d / (1 + d * d) + 2 * yhat * yhat * (1 - d * d) / (1 + d * d) ** 2
"""

GO_ON = """
import sys
from pathlib import Path
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.runs import run_descent
from phasepipe.store.folder import SweepFolder

if __name__ == "__main__":
    run_descent(Sweep.model_validate_json(sys.argv[2]), SweepFolder(Path(sys.argv[1])), 2)
"""


def stored(folder, stage, N, by="alpha"):
    """All arrays of a store in the order of alpha, without the instances that were not computed."""
    data = pp.open_sweep(folder.root)[f"{stage}/N{N}"].ds.load()
    return data.sortby(by)


def assert_same_bits(one, other, stage="runs"):
    for N in GRID["N"]:
        here, there = stored(one, stage, N), stored(other, stage, N)
        assert set(here.data_vars) == set(there.data_vars)
        for name in here.data_vars:
            np.testing.assert_array_equal(here[name].values, there[name].values, err_msg=name)


@pytest.fixture(scope="module")
def sweep_to(make_sweep, client, cluster_of):
    """A grid run to a time, on the workers of the session."""
    return lambda t_max, grid=GRID: make_sweep(**grid, t_max=t_max, cluster=cluster_of(client))


@pytest.fixture(scope="module")
def at_once(tmp_path_factory, sweep_to):
    """The grown grid, run to t_max = 60 at once, with its spectra."""
    folder = SweepFolder(tmp_path_factory.mktemp("once") / "small")
    sweep = sweep_to(60, GROWN)
    run_descent(sweep, folder, 2)
    diagonalise_snapshots(sweep, folder, 2)
    return folder


def test_a_sweep_that_grows_in_time_and_grid_has_the_bits_of_one_run_at_once(tmp_path, sweep_to, at_once):
    folder, short = SweepFolder(tmp_path / "small"), sweep_to(10)
    run_descent(short, folder, 1)
    diagonalise_snapshots(short, folder, 1)
    before = stored(folder, "runs", 24)
    undecided = (before.outcome == Outcome.UNDECIDED).values
    states = before.state.values
    assert 0 < undecided.sum() < undecided.size
    np.testing.assert_array_equal(np.isfinite(states).all(axis=-1), undecided)
    np.testing.assert_array_equal(np.isnan(states).all(axis=-1), ~undecided)
    run_descent(sweep_to(20), folder, 1)
    for sweep in (sweep_to(20, GROWN), sweep_to(60, GROWN)):
        run_descent(sweep, folder, 2)
        diagonalise_snapshots(sweep, folder, 2)
    assert_same_bits(folder, at_once)
    assert_same_bits(folder, at_once, "spectra")
    assert not any(found.damaged or found.notes for found in verify(folder, 3, repair=False).values())


def test_only_undecided_runs_are_continued(tmp_path, sweep_to):
    folder, short = SweepFolder(tmp_path / "small"), sweep_to(20)
    run_descent(short, folder, 1)
    open_runs = sum(int((stored(folder, "runs", N).outcome == Outcome.UNDECIDED).sum()) for N in GRID["N"])
    log = tmp_path / "log"
    run_descent(sweep_to(60), folder, 1, log)
    computed = sum(
        int(line.split(" to compute")[0].split()[-1])
        for line in log.read_text().splitlines()
        if "runs N = " in line and "to compute" in line
    )
    assert computed == open_runs > 0
    run_descent(sweep_to(60), folder, 1, tmp_path / "again")
    assert "0 to compute" in (tmp_path / "again").read_text()
    assert stored(folder, "runs", 24).attrs["reached"] == 60


def test_a_smaller_t_max_is_refused_and_nothing_is_touched(tmp_path, sweep_to):
    folder = SweepFolder(tmp_path / "small")
    run_descent(sweep_to(10), folder, 1)
    files = {file: file.read_bytes() for file in folder.root.rglob("*") if file.is_file()}
    for attempt in (lambda s: check_folder(s, tmp_path), lambda s: run_descent(s, folder, 1)):
        with pytest.raises(
            StoreMismatchError, match="to t_max = 10, and t_max is 5 now; set t_max: 10 again"
        ):
            attempt(sweep_to(5))
    assert files == {file: file.read_bytes() for file in folder.root.rglob("*") if file.is_file()}


def test_what_is_not_yet_continued_counts_as_pending_at_later_times_only(tmp_path, sweep_to):
    folder, short = SweepFolder(tmp_path / "small"), sweep_to(10)
    run_descent(short, folder, 1)
    early = pp.open_sweep(folder.root).phase.success(T=10)
    asked = sweep_to(60)
    # as after a kill between the extension of the axes and the first block
    for N in GRID["N"]:
        BlockStore.prepare(folder.store("runs", N), asked, layout(asked, N))
    phase = pp.open_sweep(folder.root).phase
    xr.testing.assert_equal(phase.success(T=10)[["k", "n", "pending"]], early[["k", "n", "pending"]])
    late = phase.success(T=60)
    undecided = sum(cell.pending for cell in take_census(folder).cells)
    assert undecided > 0
    assert int(late["pending"].sum()) <= undecided  # of the first kind of start
    np.testing.assert_array_equal(late["n"] + late["pending"], early["n"])
    with pytest.raises(IncompleteError):
        estimate_success(asked, folder)


def test_a_killed_continuation_goes_on_with_the_same_bits(tmp_path, make_sweep, sweep_to, at_once):
    """The process and its workers are killed while they write; besides, one block is half written."""
    folder = SweepFolder(tmp_path / "small")
    run_descent(sweep_to(10, GROWN), folder, 1)
    (tmp_path / "go.py").write_text(GO_ON)
    sweep = make_sweep(**GROWN, t_max=60)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "go.py"), str(folder.root), sweep.model_dump_json()],
        start_new_session=True,
    )
    before = _newest(folder)
    while process.poll() is None and _newest(folder) == before:
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert take_census(folder).cells
    # as if killed while the first block was written
    group = zarr.open_group(str(folder.store("runs", 16)), mode="r+")
    group["status"][0, 0:2] = 0
    group["overlap"][0, 0:2] = 7.0
    group["state"][0, 0:2] = np.nan
    run_descent(sweep_to(60, GROWN), folder, 1)
    diagonalise_snapshots(sweep_to(60, GROWN), folder, 1)
    assert_same_bits(folder, at_once)


def _newest(folder):
    files = (folder.store("runs", 24) / "status" / "c").rglob("*")
    return max(file.stat().st_mtime_ns for file in files if file.is_file())


@pytest.mark.parametrize(
    ("dynamics", "dtype"),
    [(Flow(), "float32"), (Flow(1e-3), "float64"), (Descent(5e-3), "float32")],
    ids=["flow", "float64", "descent"],
)
@pytest.mark.parametrize("own", [False, True], ids=["quartic", "own loss"])
def test_a_continued_batch_has_the_bits_of_one_run_at_once(dynamics, dtype, own):
    scope = {}
    exec(OWN_LOSS, scope)
    loss = scope["Loss"]() if own else pp.NormalisedQuartic(a=0.1)
    problems = [pp.Problem.draw(N=20, alpha=2.25, seed=1, instance=number) for number in range(4)]
    starts = [pp.starts.random(problem, 4, seed=1) for problem in problems]

    def run(t_max, states=None):
        times = nested_times(t_max, 8)
        return run_batch(
            problems, loss, starts, RunProtocol(dynamics, times, dtype=dtype, t_max=t_max), states=states
        )

    whole, part = run(12.0), run(0.004)
    for t_max in (1.0, 9.7, 10.0, 12.0):
        open_runs = part.outcome.values == Outcome.UNDECIDED
        states = RunStates(part.state.values.copy())
        # decided runs are run again from their start beside the continued ones: another batch, same bits
        following = run(t_max, states)
        earlier = following.time.values <= states.scalars["time"][:, None] * (1 + 1e-12)
        for name in ("overlap", "loss", "gradient_norm", "mu"):
            old = np.full(earlier.shape, np.nan, np.float32)
            old[:, : part.sizes["time"]] = part[name].values
            following[name] = (("start", "time"), np.where(earlier, old, following[name].values))
        assert (following.evaluations.values[~open_runs] == part.evaluations.values[~open_runs]).all()
        part = following
    assert (whole.outcome == Outcome.UNDECIDED).any() or own
    xr.testing.assert_equal(part, whole)


@pytest.mark.parametrize("dynamics", [{"kind": "flow"}, {"kind": "descent", "learning_rate": 1e-3}])
def test_a_block_that_is_computed_once_more_keeps_its_bits(
    tmp_path, make_sweep, client, cluster_of, dynamics
):
    """Dask computes a stored block again if its worker dies before the counts of the block are fetched."""
    sweep = make_sweep(N=[16], alpha=[2], t_max=2, dynamics=dynamics, cluster=cluster_of(client))
    folder = SweepFolder(tmp_path / "small")
    draw_instances(sweep, folder, 1)
    path = folder.store("runs", 16)
    blocks = list(BlockStore.prepare(path, sweep, layout(sweep, 16)).pending_blocks())
    run_descent(sweep, folder, 1)
    before = stored(folder, "runs", 16)
    assert (before["outcome"] == Outcome.UNDECIDED).any()
    tasks = [_filling(sweep, 16, folder).task(block, None) for block in blocks]
    for task in tasks:
        task.compute(task.block)
    pack(path)
    xr.testing.assert_identical(stored(folder, "runs", 16), before)
