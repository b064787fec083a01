"""open_sweep: the tree a user asks for months."""

import dask.array
import numpy as np
import pytest

import phasepipe as pp
from phasepipe.errors import SweepError


def test_the_tree_has_every_stage_at_every_size(tree, folder):
    assert tree.name == "small"
    stages = {node.path for node in tree.leaves}
    assert stages == {"/instances/N12", "/instances/N16", "/runs/N12", "/runs/N16", "/success"}
    assert pp.open_sweep(str(folder.root)).identical(tree)


def test_alphas_ascend_wherever_they_are_stored(tree):
    for node in tree.leaves:
        np.testing.assert_array_equal(node["alpha"], [2, 3, 4])
    np.testing.assert_array_equal(tree["runs/N16"]["measurements"], [32, 48, 64])
    np.testing.assert_array_equal(tree["success"]["N"], [12, 16])


def test_arrays_are_read_when_used(tree):
    for node in tree.leaves:
        for name, variable in node.data_vars.items():
            assert isinstance(variable.data, dask.array.Array), name


def test_dimensions_stand_in_the_agreed_order(tree):
    order = ["N", "alpha", "instance", "start", "time"]
    for node in tree.leaves:
        for variable in node.data_vars.values():
            known = [dim for dim in variable.dims if dim in order]
            assert known == sorted(known, key=order.index)
            assert list(variable.dims[: len(known)]) == known


def test_every_variable_says_what_it_is(tree):
    for node in tree.leaves:
        for name, variable in node.to_dataset().variables.items():
            assert variable.attrs.get("long_name"), f"{node.path}/{name}"
            assert variable.attrs.get("units"), f"{node.path}/{name}"


def test_rows_belong_to_their_alpha(tree):
    stored = tree["instances/N16"].sel(alpha=3, instance=2)
    problem = pp.Problem.draw(16, 3, seed=7, instance=2)
    np.testing.assert_array_equal(stored["signal"], problem.signal)
    np.testing.assert_array_equal(stored["labels"][:48], problem.labels)
    assert np.isnan(stored["labels"][48:]).all()
    assert int(stored["digest"]) == int(problem.digest())


def test_the_success_table_counts_the_runs(tree):
    table, runs = tree["success"].isel(budget=-1, start_group=0), tree["runs/N12"]
    recovered = (runs["outcome"] == pp.Outcome.RECOVERED).sum(["instance", "start"])
    np.testing.assert_array_equal(table["k"].sel(N=12), recovered)
    np.testing.assert_array_equal(table["n"], 8)
    np.testing.assert_allclose(table["p"], table["k"] / 8)
    assert ((table["lower"] <= table["p"]) & (table["p"] <= table["upper"])).all()


@pytest.mark.parametrize("path", [1, None, b"x", ["results"]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(SweepError, match="is not a path; give that of a sweep, for example 'results/demo'"):
        pp.open_sweep(path)


@pytest.mark.parametrize("place", ["", "nowhere", "file"])
def test_a_place_without_a_sweep_is_refused(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match="holds no sweep; run one with phasepipe run"):
        pp.open_sweep(tmp_path / place)
