"""The stage *descent* draws each sensing matrix once: it stores pending instances and checks stored ones."""

import shutil

import numpy as np
import pytest
import xarray as xr
import zarr

import phasepipe as pp
from phasepipe.execution.blocks import BlocksFailedError
from phasepipe.results.verify import verify
from phasepipe.simulation.draws import InstanceMismatchError, check_digests
from phasepipe.stages.instances import draw_instances
from phasepipe.stages.runs import run_descent
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Status
from phasepipe.store.tables import open_store


@pytest.fixture
def on_workers(make_sweep, client, cluster_of):
    """Makes a small sweep that uses the workers of the test session; keyword arguments change its keys."""
    return lambda **changes: make_sweep(cluster=cluster_of(client), **changes)


@pytest.fixture
def descended(on_workers, tmp_path):
    """Results of a sweep after the stage *descent* alone."""
    folder = SweepFolder(tmp_path / "descended")
    run_descent(on_workers(), folder, 1)
    return folder


def drawn_alone(sweep, root):
    folder = SweepFolder(root)
    draw_instances(sweep, folder, 1)
    return stored(folder)


def stored(folder, stage="instances"):
    return open_store(folder.store(stage, 12)).load()


def withdraw(folder, stage):
    """Make all entries of a store pending."""
    zarr.open_group(folder.store(stage, 12), mode="r+")["status"][...] = Status.PENDING


def starts(count):
    return [{"kind": "random", "count": count}]


def test_instances_are_those_of_the_stage_of_their_own(descended, on_workers, tmp_path):
    xr.testing.assert_equal(stored(descended), drawn_alone(on_workers(), tmp_path / "alone"))
    assert (stored(descended)["status"] == Status.DONE).all()


def test_sensing_matrices_are_kept_where_they_are_asked_for(on_workers, tmp_path):
    sweep = on_workers(store_sensing=True)
    folder = SweepFolder(tmp_path / "kept")
    run_descent(sweep, folder, 1)
    xr.testing.assert_equal(stored(folder), drawn_alone(sweep, tmp_path / "alone"))
    assert stored(folder)["sensing"].dims == ("alpha", "instance", "measurement", "component")


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({}, ("instances",)),  # no runs are pending, so the instances are drawn separately
        ({}, ("instances", "runs")),
        ({"instances": 7}, ()),  # the last block is filled
        ({"instances": 7, "alpha": [3, 2, 4]}, ("instances",)),
        ({"starts": starts(3)}, ("instances",)),
        ({"starts": starts(3)}, ("instances", "runs")),  # two blocks of runs share a block of instances
    ],
)
def test_what_is_pending_is_drawn_whatever_else_is_there(descended, on_workers, tmp_path, changes, lost):
    for stage in lost:
        withdraw(descended, stage)
    sweep = on_workers(**changes)
    run_descent(sweep, descended, 1)
    found, expected = stored(descended), drawn_alone(sweep, tmp_path / "alone")
    assert (found["status"] == Status.DONE).all()
    xr.testing.assert_equal(found.sortby("alpha"), expected.sortby("alpha"))
    assert (stored(descended, "runs")["status"] == Status.DONE).all()
    assert not any(findings.damaged for findings in verify(descended, sample=2, repair=False).values())


def test_stores_that_were_cut_otherwise_are_filled_all_the_same(on_workers, tmp_path):
    folder = SweepFolder(tmp_path / "cut")
    draw_instances(on_workers(block_instances=3), folder, 1)
    withdraw(folder, "instances")
    run_descent(on_workers(), folder, 1)
    xr.testing.assert_equal(stored(folder), drawn_alone(on_workers(), tmp_path / "alone"))


def test_less_may_be_asked_for_after_the_instances_were_lost(descended, on_workers):
    withdraw(descended, "runs")
    shutil.rmtree(descended.store("instances", 12))
    run_descent(on_workers(instances=3), descended, 1)
    done = stored(descended, "runs")["status"] == Status.DONE
    assert done.isel(instance=slice(3)).all()
    assert not done.isel(instance=3).any()


def test_digests_of_earlier_states_are_understood():
    problems = [pp.Problem.draw(12, 3.0, 1, number) for number in range(3)]
    check_digests(np.array([problem.former_digest() for problem in problems]), problems)
    with pytest.raises(InstanceMismatchError, match="instance 0"):
        check_digests(np.array([problems[1].former_digest()]), problems[:1])


def test_an_instance_that_came_out_otherwise_is_refused(descended, on_workers):
    digests = zarr.open_group(descended.store("instances", 12), mode="r+")["digest"]
    digests[1, 2] += np.uint64(1)
    withdraw(descended, "runs")
    with pytest.raises(BlocksFailedError, match=r"1 of 4 .* instance 2 \(N = 12, M = 48\) is not the one"):
        run_descent(on_workers(), descended, 1)
    shutil.rmtree(descended.store("instances", 12))
    run_descent(on_workers(), descended, 1)
    assert (stored(descended, "runs")["status"] == Status.DONE).all()
