"""tree.phase: every answer against what the stores and the engine say."""

import doctest
import importlib
import math
import shutil

import numpy as np
import pytest
import xarray as xr

import phasepipe as pp
from phasepipe.physics.hessian import spectrum
from phasepipe.results import QueryError
from phasepipe.store.integrity import mark_pending
from phasepipe.variables import ENGINE


@pytest.mark.parametrize("module", ["accessor", "tree"])
def test_the_examples_of_the_docstrings_run(folder, module):
    names = {"folder": folder.root, "open_sweep": pp.open_sweep}
    found = importlib.import_module(f"phasepipe.results.{module}")
    failed, tried = doctest.testmod(found, extraglobs=names)
    assert tried
    assert not failed


def test_success_is_the_table_where_both_are(tree):
    table = tree["success"].to_dataset().isel(start_group=0).load()
    for budget in table["budget"].values:
        answer, stored = tree.phase.success(T=budget), table.sel(budget=budget)
        for name in answer.data_vars:
            np.testing.assert_array_equal(answer[name], stored[name], err_msg=str(name))
    assert (tree.phase.success(T=0.3)["k"] <= tree.phase.success()["k"]).all()


def test_success_counts_what_is_pending(folder, tmp_path):
    copy = tmp_path / folder.root.name
    shutil.copytree(folder.root, copy)
    store = copy / "runs/N16.zarr"
    instances = len(pp.open_sweep(copy)["runs/N16"]["instance"])
    mark_pending(store, [(0, 0, 0)])  # two of the instances of one alpha
    answer = pp.open_sweep(copy).phase.success(N=16)
    alphas = pp.open_sweep(folder.root).phase.success(N=16)["n"].values.ravel()
    assert sorted(answer["pending"].values.ravel().tolist()) == [0] * (len(alphas) - 1) + [4]
    assert (answer["n"] + answer["pending"] == 2 * instances).all()


def test_instances_that_only_another_alpha_has_are_not_pending(run_sweep, tmp_path):
    folder = run_sweep(tmp_path, N=[12], alpha=[2, 3], refine=[{"N": 12, "alpha": 3, "instances": 6}])
    table = pp.open_sweep(folder.root)["success"]
    answer = pp.open_sweep(folder.root).phase.success()
    assert answer["n"].values.tolist() == [[8, 12]]
    assert answer["pending"].values.tolist() == [[0, 0]]
    assert (table["pending"] == 0).all()


def test_alpha_50_lies_in_its_interval(grown):
    answer = pp.open_sweep(grown.root).phase.alpha_50()
    assert answer.sizes == {"N": 1}
    if np.isfinite(answer["alpha_50"]):
        assert answer["alpha_50_lower"] <= answer["alpha_50"] <= answer["alpha_50_upper"]
    else:
        assert str(answer["message"].values[0])


def test_runs_are_those_with_the_outcome(tree):
    cell = tree["runs/N16"].to_dataset().sel(alpha=3).load()
    total = 0
    for outcome in ("recovered", "trapped", "undecided", "diverged"):
        found = tree.phase.runs(16, 3, outcome=outcome, start="random")
        assert (found["outcome"] == pp.Outcome[outcome.upper()]).all()
        total += found.sizes["run"]
        for run in range(found.sizes["run"]):
            one = found.isel(run=run)
            same = cell.isel(instance=int(one["instance"]), start=int(one["start"]))
            np.testing.assert_array_equal(one["overlap"], same["overlap"])
    assert total == tree.phase.runs(16, 3).sizes["run"] == 8


def bits_agree(again, stored):
    for name in stored.data_vars:
        if name in again and name not in ("snapshot", "status"):
            values = again[name]
            if "time" in values.dims:
                values = values.sel(time=stored["time"])
            np.testing.assert_array_equal(values, stored[name], err_msg=str(name))
            assert values.dtype == stored[name].dtype


@pytest.mark.parametrize("start", range(5))
def test_every_start_repeats_to_the_bit_also_where_starts_were_added(grown, start):
    phase = pp.open_sweep(grown.root).phase
    stored = phase.trajectory(32, 2, 1, start)
    assert set(ENGINE) <= set(stored.data_vars)
    again = phase.rerun(32, 2, 1, start)
    assert again.attrs["repeats_stored_bits"] == "yes"
    bits_agree(again, stored)
    dense = phase.rerun(32, 2, 1, start, records_per_decade=20, snapshots=[0, 0.123, 1])
    assert dense.sizes["time"] > 2 * stored.sizes["time"]
    assert dense.attrs["repeats_stored_bits"] == "yes"
    bits_agree(dense, stored)


def test_a_store_with_other_numbers_is_noticed(grown):
    tree = pp.open_sweep(grown.root)
    runs = tree["runs/N32"].to_dataset()
    tree["runs/N32"] = tree["runs/N32"].assign(loss=runs["loss"] * np.float32(1 + 1e-6))
    assert tree.phase.rerun(32, 2, 1, 0).attrs["repeats_stored_bits"] == "no: loss differ"


def test_snapshots_are_points_of_the_path(grown):
    phase = pp.open_sweep(grown.root).phase
    problem, run = phase.problem(32, 2, 1), phase.rerun(32, 2, 1, 0, snapshots=True)
    points = run["snapshot"].values.astype(float)
    alive = np.isfinite(points).all(axis=1)
    np.testing.assert_allclose((points[alive] ** 2).sum(1), 32, rtol=1e-5)
    np.testing.assert_allclose(points[alive] @ problem.signal / 32, run["overlap"][alive], atol=1e-6)
    np.testing.assert_allclose(points[0], pp.starts.random(problem, 1, seed=7)[0], rtol=1e-6)
    measured = spectrum(problem, pp.NormalisedQuartic(a=0.01), points[alive], k=1)
    np.testing.assert_allclose(measured["mu"], run["mu"][alive], rtol=1e-3, atol=1e-4)


def test_a_regenerated_problem_is_the_stored_one(tree):
    problem = tree.phase.problem(16, 3, 2)
    stored = tree["instances/N16"].to_dataset().sel(alpha=3, instance=2)
    np.testing.assert_array_equal(problem.labels, stored["labels"][:48])
    assert tree.phase.problem(16, 3.01, 2).M == 48


def test_the_table_of_runs_has_every_run_once(tree):
    table = tree.phase.to_dataframe()
    assert len(table) == 48
    assert not table.duplicated(["N", "alpha", "instance", "start"]).any()
    recovered = table[table["outcome"] == "recovered"].groupby("N").size()
    counted = tree.phase.success()["k"].sum("alpha").to_series()
    assert (recovered == counted[counted > 0]).all()


def test_answers_say_what_they_are(tree):
    answers = [tree.phase.success(), tree.phase.alpha_50(), tree.phase.runs(16, 4)]
    answers += [tree.phase.trajectory(16, 4, 0, 0), tree.phase.rerun(16, 4, 0, 0, snapshots=True)]
    for answer in answers:
        for name, variable in answer.variables.items():
            assert variable.attrs.get("long_name"), name
            assert variable.attrs.get("units"), name


def test_the_citation_names_settings_and_papers(tree):
    said = tree.phase.cite()
    assert tree["runs/N16"].attrs["specification_hash"] in said
    assert "arXiv:2403.02418" in said
    assert said.startswith(f"Sweep '{tree.phase.sweep.name}' ")


def test_a_moved_folder_is_still_cited_by_the_name_of_its_sweep(tree, tmp_path):
    moved = pp.open_sweep(shutil.copytree(tree.attrs["folder"], tmp_path / "elsewhere"))
    assert moved.phase.cite() == tree.phase.cite()


def test_the_node_of_one_size_answers_for_that_size(tree):
    assert len(tree["runs"].children) > 1
    node = tree["runs/N16"]
    xr.testing.assert_identical(node.phase.success(), tree.phase.success(N=16))
    assert set(node.phase.to_dataframe()["N"]) == {16}
    assert node.phase.sweep == tree.phase.sweep


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda phase: phase.trajectory(16, 3.3, 0, 0), "the nearest is alpha = 3 (of 2, 3, 4)"),
        (lambda phase: phase.runs(20, 3), "the nearest is N = 16 (of 12, 16)"),
        (lambda phase: phase.runs(16, -1), "alpha = -1 is not a positive"),
        (lambda phase: phase.problem(16, 3, 9), "instance = 9 is not in the sweep"),
        (lambda phase: phase.rerun(16, 3, 9, 0), "instances are numbered from 0 to 3"),
        (lambda phase: phase.rerun(16, 3, 0, 2), "starts are numbered from 0 to 1"),
        (lambda phase: phase.rerun(16, 3, 0, 0, snapshots=[6]), "lies outside [0, t_max = 5]"),
        (lambda phase: phase.rerun(16, 3, 0, 0, records_per_decade=0), "records_per_decade = 0"),
        (lambda phase: phase.success(T=6), "T = 6 lies outside (0, t_max = 5]"),
        (
            lambda phase: phase.success(start="cold"),
            "'cold' matches no kind of start of the sweep; choose one of 'random",
        ),
        (lambda phase: phase.success(T="x"), "T = 'x' is no number; take for example T = 5"),
        (lambda phase: phase.success(T=[1]), "T = [1] is no number"),
        (lambda phase: phase.success(T=True), "T = True is no number"),
        (lambda phase: phase.success(T=10**400), "T = 1000"),
        (lambda phase: phase.success(N=10**400), "N = 1000"),
        (lambda phase: phase.rerun(16, 4, 0, 0, snapshots=np.array(1.0)), "snapshots = array(1.) is no list"),
        (lambda phase: phase.success(T=math.nan), "T = nan lies outside (0, t_max = 5]"),
        (lambda phase: phase.success(level="x"), "level = 'x' is no number; take for example level = 0.95"),
        (lambda phase: phase.success(level=2), "level = 2 is not between 0 and 1"),
        (lambda phase: phase.success(N="x"), "N = 'x' is no integer; take for example N = 64"),
        (lambda phase: phase.success(N=[16, 12.5]), "N = 12.5 is no integer"),
        (lambda phase: phase.success(N=[]), "N is empty"),
        (lambda phase: phase.success(start=5), "start = 5 matches no kind of start"),
        (lambda phase: phase.counts(T={}), "T = {} is no number"),
        (lambda phase: phase.alpha_50(T="x"), "T = 'x' is no number"),
        (lambda phase: phase.alpha_50(T=[math.inf]), "T = [inf] is no number"),
        (lambda phase: phase.windows(N=b"x"), "N = b'x' is no integer"),
        (lambda phase: phase.runs("x", 3), "N = 'x' is no integer"),
        (lambda phase: phase.runs(16, "x"), "alpha = 'x' is no number; take for example alpha = 3"),
        (lambda phase: phase.runs(16, None), "alpha = None is no number"),
        (lambda phase: phase.runs(16, 3, outcome=[]), "outcome = [] is unknown"),
        (lambda phase: phase.trajectory(16, 3, "x", 0), "instance = 'x' is no integer"),
        (lambda phase: phase.trajectory(16, 3, 0, True), "start = True is no integer"),
        (lambda phase: phase.rerun(16, 3, 0, 0, records_per_decade="x"), "records_per_decade = 'x'"),
        (lambda phase: phase.rerun(16, 3, 0, 0, snapshots="x"), "snapshots = 'x'"),
        (lambda phase: phase.rerun(16, 3, 0, 0, snapshots=2), "snapshots = 2"),
        (lambda phase: phase.problem(16, 3, [0]), "instance = [0] is no integer"),
        (lambda phase: phase.runs(16, 3, outcome="lost"), "unknown; choose one of pending, recovered"),
    ],
)
def test_what_is_not_there_is_refused_in_one_sentence(tree, ask, words):
    with pytest.raises(QueryError) as refusal:
        ask(tree.phase)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
