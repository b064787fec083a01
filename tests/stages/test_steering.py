"""The stage that grows a sweep in rounds until alpha_50 is known, with real Dask and Zarr."""

import shutil

import numpy as np
import pytest

import phasepipe as pp
import phasepipe.stages.steering as steering
from phasepipe.stages.runs import run_descent
from phasepipe.stages.scaling import study_scaling
from phasepipe.stages.theory import predict_thresholds
from phasepipe.store.folder import SweepFolder
from phasepipe.store.rounds import grown_sweep, read_rounds

WANTED = 0.2
STEERED = {
    "N": [12, 16],
    "alpha": [2, 3, 4],
    "instances": 8,
    "starts": [{"kind": "random", "count": 4}],
    "records_per_decade": 2,
    "block_instances": 16,
}


@pytest.fixture(scope="module")
def make_steered(make_sweep, client, cluster_of):
    address = cluster_of(client)

    def make(**changes):
        precision = {"alpha_50": WANTED, "core_hours": 0.1}
        return make_sweep(**{"cluster": address, "precision": precision} | STEERED | changes)

    return make


@pytest.fixture(scope="module")
def done(tmp_path_factory, make_steered):
    sweep, folder = make_steered(), SweepFolder(tmp_path_factory.mktemp("steered") / "small")
    steering.run_rounds(sweep, folder, 1)
    return sweep, folder


def runs_by_key(folder, N):
    """Outcome, time and path of every computed run by measurements, instance and start."""
    data = pp.open_sweep(folder.root)[f"runs/N{N}"].ds.load()
    found = {}
    for row, M in enumerate(data["measurements"].values.tolist()):
        for instance, start in np.argwhere(data["status"].values[row] == 1).tolist():
            at = data.isel(alpha=row, instance=instance, start=start)
            found[M, instance, start] = tuple(
                at[name].values.tobytes() for name in ("outcome", "recovery_time", "overlap", "evaluations")
            )
    return found


def test_rounds_reach_the_precision_that_the_scaling_then_reports(done):
    sweep, folder = done
    rounds = read_rounds(sweep, folder)
    assert rounds.conclusion.startswith(f"alpha_50 is known to ±{WANTED} at N = 12 and 16, after ")
    assert len(rounds.rounds) >= 3
    first, last = rounds.rounds[0].estimates, rounds.rounds[-1].estimates
    for N in (12, 16):
        assert last[N].half_width <= WANTED < first[N].half_width
    grown = grown_sweep(sweep, folder)
    predict_thresholds(sweep, folder)
    study_scaling(grown, folder)
    table = pp.open_sweep(folder.root).phase.alpha_50()
    for name in ("alpha_50", "alpha_50_lower", "alpha_50_upper"):
        assert table[name].values.tolist() == [getattr(last[N], name) for N in (12, 16)]
    stored = pp.open_sweep(folder.root).phase.precision()
    assert (stored["half_width"].isel(round=-1) <= WANTED).all()
    assert int(stored["added_instances"].sum()) == grown.run_count() // 4 - 3 * 8 * 2


def test_runs_are_those_of_the_grid_written_out_by_hand(done, make_steered, tmp_path):
    sweep, folder = done
    cells = [cell.model_dump() for cell in grown_sweep(sweep, folder).refine]
    by_hand = make_steered(precision=None, refine=cells)
    run_descent(by_hand, SweepFolder(tmp_path / "small"), 1)
    for N in sweep.N:
        steered = runs_by_key(folder, N)
        assert len(steered) > 3 * 8 * 4
        assert runs_by_key(SweepFolder(tmp_path / "small"), N) == steered


class KilledError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("place", ["before the table", "after the table", "in the runs"])
def test_an_interrupted_round_is_continued(done, tmp_path, monkeypatch, place):
    sweep, folder = done
    mine = SweepFolder(tmp_path / "small")
    name = "run_descent" if place == "in the runs" else "write_rounds"
    original, calls = getattr(steering, name), []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2 and place != "after the table":
            raise KilledError
        original(*arguments)
        if len(calls) == 2:
            raise KilledError

    monkeypatch.setattr(steering, name, interrupted)
    with pytest.raises(KilledError):
        steering.run_rounds(sweep, mine, 1)
    monkeypatch.undo()
    assert not read_rounds(sweep, mine).conclusion
    steering.run_rounds(sweep, mine, 1)
    assert read_rounds(sweep, mine) == read_rounds(sweep, folder)
    for N in sweep.N:
        assert runs_by_key(mine, N) == runs_by_key(folder, N)


@pytest.mark.parametrize("damage", ["lost", "damaged"])
def test_without_their_table_the_rounds_are_decided_again_and_nothing_is_computed(done, tmp_path, damage):
    sweep, folder = done
    mine = SweepFolder(shutil.copytree(folder.root, tmp_path / "small"))
    if damage == "lost":
        shutil.rmtree(mine.table("precision"))
    else:
        next(mine.table("precision").glob("half_width/c/*/*")).write_bytes(b"x")
    log = tmp_path / "log"
    steering.run_rounds(sweep, mine, 1, log)
    assert read_rounds(sweep, mine) == read_rounds(sweep, folder)
    assert ("decided again" in log.read_text()) == (damage == "damaged")
    assert "done, " not in log.read_text()  # no block was computed


def test_a_spent_budget_is_said_and_a_larger_one_goes_on(make_steered, tmp_path):
    folder = SweepFolder(tmp_path / "small")
    small = make_steered(precision={"alpha_50": WANTED, "core_hours": 1e-5, "N": [16]})
    steering.run_rounds(small, folder, 1)
    rounds = read_rounds(small, folder)
    assert rounds.conclusion.startswith("the budget of 1e-05 core-hours is spent, after ")
    assert "at N = 16" in rounds.conclusion
    assert rounds.core_seconds <= 0.036
    assert {addition.N for each in rounds.rounds for addition in each.additions} == {16}
    large = make_steered(precision={"alpha_50": WANTED, "core_hours": 1, "N": [16]})
    steering.run_rounds(large, folder, 1)
    more = read_rounds(large, folder)
    assert more.conclusion.startswith(f"alpha_50 is known to ±{WANTED} at N = 16")
    assert more.rounds[: len(rounds.rounds)] == rounds.rounds
