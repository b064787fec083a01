"""The stages of the workflow, called directly on a small sweep with real Dask and Zarr."""

import shutil

import numpy as np
import pandas as pd
import pytest

import phasepipe as pp
from phasepipe.physics.batch import run_batch
from phasepipe.physics.outcomes import Outcome
from phasepipe.results.refine import propose, refined_cells
from phasepipe.results.verify import verify
from phasepipe.stages import instances, runs
from phasepipe.stages.instances import draw_instances
from phasepipe.stages.runs import run_descent
from phasepipe.stages.spectra import NoSnapshotsError, diagonalise_snapshots
from phasepipe.stages.success import estimate_success
from phasepipe.store.block_store import BlockStore
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import IncompleteError


def compute(sweep, folder):
    draw_instances(sweep, folder, 1)
    run_descent(sweep, folder, 1)


@pytest.mark.parametrize("stage", ["instances", "runs"])
def test_a_block_whose_worker_died_after_writing_it_is_not_computed_again(
    make_sweep, tmp_path, monkeypatch, stage
):
    sweep, folder = make_sweep(), SweepFolder(tmp_path / "small")
    if stage == "runs":
        draw_instances(sweep, folder, 1)
    module, filling = {
        "instances": (instances, instances.filling),
        "runs": (runs, runs._filling),
    }[stage]
    filled = filling(sweep, sweep.N[0], folder)
    block = BlockStore.prepare(filled.path, sweep, filled.layout).pending_blocks()[0]
    task = filled.task(block, None)
    assert task.compute(block)
    monkeypatch.setattr(module, "draw_problem", None)
    assert task.compute(block) == {}


def test_stored_runs_are_those_of_the_engine(finished):
    sweep, folder = finished
    runs = pp.open_sweep(folder.root)["runs/N24"].ds.load()
    cell = runs.sel(alpha=2.5, instance=4)
    problem = pp.Problem.draw(N=24, alpha=2.5, seed=3, instance=4)
    starts = np.concatenate(
        [pp.starts.random(problem, 4, seed=3), pp.starts.warm(problem, 2, seed=3, m0=0.5)]
    )
    again = run_batch([problem], pp.NormalisedQuartic(a=1.0), [starts], sweep.protocol())
    for name in ("outcome", "recovery_time", "evaluations", "overlap", "loss"):
        np.testing.assert_array_equal(cell[name], again[name])
    np.testing.assert_allclose(np.abs(cell.overlap[4:, 0]), 0.5, atol=1e-6)


def test_every_measured_spectrum_is_that_of_the_dense_hessian(finished):
    _, folder = finished
    tree = pp.open_sweep(folder.root)
    spectra, runs = (tree[f"{stage}/N24"].ds.load() for stage in ("spectra", "runs"))
    problem = pp.Problem.draw(N=24, alpha=1.5, seed=3, instance=2)
    points = runs.snapshot.sel(alpha=1.5).isel(snapshot_instance=2, snapshot_start=1).values
    alive = np.isfinite(points).all(axis=1)
    expected = pp.spectrum(problem, pp.NormalisedQuartic(a=1.0), points[alive], k=2)
    found = spectra.sel(alpha=1.5, instance=2).isel(start=1)
    np.testing.assert_allclose(found.eigenvalues.values[alive], expected.eigenvalues, rtol=1e-12)
    np.testing.assert_array_equal(np.isfinite(found.mu), alive)
    # even at N = 24 the lowest measured eigenvalue is not far above the predicted edge
    assert (found.eigenvalues.values[alive][:, 0] < found.edge.values[alive] + 3).all()


def test_stored_predictions_are_those_of_the_labels(finished):
    _, folder = finished
    runs = pp.open_sweep(folder.root)["runs/N24"].ds.load()
    problem = pp.Problem.draw(N=24, alpha=4, seed=3, instance=0)
    w = pp.starts.random(problem, 1, seed=3)[0]
    yhat = problem.sensing @ w / np.sqrt(24)
    expected = pp.theory.predict(
        problem.labels, yhat, w @ problem.signal / 24, pp.NormalisedQuartic(a=1.0), 24
    )
    stored = runs.sel(alpha=4, instance=0).isel(start=0, time=0)
    assert float(stored.edge) == pytest.approx(float(expected.edge), rel=1e-4)
    assert float(stored.outlier) == pytest.approx(float(expected.outlier), rel=1e-4, nan_ok=True)


def test_theory_stands_beside_the_measurement(finished):
    _, folder = finished
    theory = pp.open_sweep(folder.root)["theory"].ds
    assert float(theory.alpha_init) == pytest.approx(1.1349, abs=1e-4)
    assert float(theory.alpha_threshold) == pytest.approx(7.094, abs=1e-3)
    assert float(theory.threshold_energy.sel(alpha=4)) > 0


def test_tables_figures_and_report_are_written(finished):
    _, folder = finished
    tree = pp.open_sweep(folder.root)
    success = tree["success"].ds.load()
    runs = tree["runs/N16"].ds.load()
    recovered = (runs.outcome.isel(start=slice(4)) == Outcome.RECOVERED).mean(("instance", "start"))
    np.testing.assert_allclose(success.p.sel(N=16).isel(start_group=0, budget=-1), recovered)
    assert "alpha_50" in (folder.root / "scaling.md").read_text()
    assert set(tree["fate"].ds["quantity"].values) >= {"overlap", "window"}
    figures = folder.root / "figures"
    drawn = {path.stem for path in figures.glob("*.png")}
    assert drawn >= {"success", "success-1", "loss", "fate", "hessian-phi", "scaling-curves", "scaling-limit"}
    for name in drawn:
        for extension in ("png", "svg", "pdf"):
            assert (figures / f"{name}.{extension}").stat().st_size > 1000


def test_every_figure_has_its_numbers_beside_it(finished):
    _, folder = finished
    figures = folder.root / "figures"
    numbers = {path.stem: pd.read_csv(path) for path in figures.glob("*.csv")}
    assert set(numbers) == {path.stem for path in figures.glob("*.png")}
    tree = pp.open_sweep(folder.root)
    spectra = tree["spectra/N24"].ds.load()
    start = numbers["hessian-spectra"].query("quantity == 'measured' and moment == 'start' and alpha == 4")
    every = spectra["all_eigenvalues"].sel(alpha=4).isel(time=0).values.reshape(-1, 23)  # tangent space
    assert any(np.allclose(start["eigenvalue"], run, rtol=1e-6) for run in every)
    final = tree["success"].ds.isel(budget=-1, start_group=0).load()
    for name, column in (("success", "p"), ("scaling-curves", "probability")):
        rows = numbers[name]
        expected = [
            float(final["p"].sel(N=N, alpha=alpha)) for N, alpha in zip(rows["N"], rows["alpha"], strict=True)
        ]
        np.testing.assert_allclose(rows[column], expected, rtol=1e-6)
    limits = numbers["scaling-limit"].query("N == inf").set_index("series")["value"]
    stored = tree["scaling"].ds.isel(start_group=0)["limit"]
    for form, value in limits.items():
        assert value == pytest.approx(float(stored.sel(form=form)), rel=1e-6)


def test_alpha_50_is_given_at_every_time_budget_and_for_unlimited_time(finished):
    sweep, folder = finished
    tree = pp.open_sweep(folder.root)
    scaling = tree["scaling"].ds.isel(start_group=0).load()
    assert scaling["budget"].values.tolist() == [*tree["success"].ds["budget"].values, np.inf]
    longest = scaling["budget_alpha_50"].sel(budget=sweep.t_max)
    np.testing.assert_allclose(longest, scaling["alpha_50"].sel(N=longest["N"]))
    limit = scaling["budget_alpha_50"].sel(budget=np.inf)
    assert np.isfinite(longest).any()
    assert bool((limit <= longest).where(np.isfinite(limit) & np.isfinite(longest), True).all())
    points = pd.read_csv(folder.root / "figures" / "scaling-time.csv").set_index(["N", "budget"])
    for (N, budget), row in points.iterrows():
        value = float(scaling["budget_alpha_50"].sel(N=N, budget=budget, method="nearest"))
        assert row["alpha_50"] == pytest.approx(value, rel=1e-6, nan_ok=True)
    assert "alpha_50 at every time budget" in (folder.root / "scaling.md").read_text()


def test_refinement_computes_only_what_it_adds(finished, make_finished, tmp_path):
    sweep, done = finished
    folder = SweepFolder(shutil.copytree(done.root, tmp_path / "small"))
    before = pp.open_sweep(folder.root)["runs/N16"].ds.load()
    cells = refined_cells(sweep, propose(sweep, folder, 0.5))
    assert cells
    cells = [cell | {"instances": min(cell["instances"], 8)} for cell in cells]
    finer = make_finished(refine=cells)
    with pytest.raises(IncompleteError, match="are not computed"):
        estimate_success(finer, folder)
    compute(finer, folder)
    estimate_success(finer, folder)
    after = pp.open_sweep(folder.root)["runs/N16"].ds.load()
    asked = finer.instances_at(16)
    done = (after.status == 1).all("start").sum("instance")
    assert done.values.tolist() == [
        max(asked[M], 6 if M in (24, 40, 64) else 0) for M in after.measurements.values
    ]
    kept = after.sel(alpha=before.alpha, instance=before.instance)
    for name in ("outcome", "overlap", "evaluations"):
        np.testing.assert_array_equal(kept[name], before[name])


def test_spectra_without_snapshots_are_refused(make_finished, tmp_path):
    sweep = make_finished(snapshots={"instances": 0, "starts": 0})
    with pytest.raises(NoSnapshotsError, match="stores no snapshots, which the spectra need"):
        diagonalise_snapshots(sweep, SweepFolder(tmp_path / "small"), 1)


def test_every_kind_of_start_and_ensemble_runs_as_the_engine_does(tmp_path, make_sweep):
    loss = pp.NormalisedQuartic(a=0.01)
    kinds = [{"kind": "curvature", "count": 2}, {"kind": "spectral"}, {"kind": "threshold", "count": 2}]
    for changes in ({"starts": kinds, "noise": 0.01}, {"sensing": {"kind": "signs"}, "starts": kinds[:2]}):
        sweep = make_sweep(instances=2, alpha=[3], **changes)
        folder = SweepFolder(tmp_path / sweep.sensing.kind)
        compute(sweep, folder)
        estimate_success(sweep, folder)
        cell = pp.open_sweep(folder.root)["runs/N12"].ds.isel(alpha=0, instance=1).load()
        problem = pp.Problem.draw(
            N=12, alpha=3, seed=7, instance=1, ensemble=sweep.sensing.build(), noise=sweep.noise
        )
        starts = [pp.starts.curvature(problem, loss, 2, seed=7), pp.starts.spectral(problem)]
        if len(sweep.starts) == 3:
            starts.append(pp.starts.threshold(problem, loss, 2, seed=7, preparation=sweep.t_max))
        np.testing.assert_allclose(
            cell["overlap"].isel(time=0), np.concatenate(starts) @ problem.signal / 12, atol=1e-5
        )
        table = pp.open_sweep(folder.root)["success"].ds
        assert table["start_kind"].values.tolist() == [3, 2, 4][: len(sweep.starts)]
        assert table["start_kind"].attrs["flag_meanings"] == "random warm spectral curvature threshold"
        for findings in verify(folder, sample=2, repair=False).values():
            assert not findings.blocks
            assert not findings.notes
