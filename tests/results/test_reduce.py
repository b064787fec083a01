"""What is kept of a sweep says what its runs say."""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

import phasepipe as pp
from phasepipe.analysis.summaries import clustered_mean, signal_curvature
from phasepipe.cli.status import status
from phasepipe.errors import UserError
from phasepipe.physics.hessian import tangent_hessian
from phasepipe.physics.outcomes import Outcome
from phasepipe.results.compare import compare
from phasepipe.results.export import Format, export_sweep
from phasepipe.results.history import read_history
from phasepipe.results.reduce import (
    NothingToReduceError,
    OtherReductionError,
    ReductionError,
    core_minutes,
    reduce_sweep,
)
from phasepipe.results.selection import QueryError
from phasepipe.results.verify import verify
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Status
from phasepipe.store.reading import DamagedStoreError
from phasepipe.store.tables import IncompleteError, open_store, write_archive


def test_counts_are_those_of_the_runs(reduced):
    sweep, folder, target = reduced
    counts = pp.open_sweep(target.root)["counts"].to_dataset().load()
    assert counts["recovered"].dims == ("N", "alpha", "start_group", "instance")
    for N in sweep.N:
        runs = open_store(folder.store("runs", N)).load()
        warm = ~np.isnan(runs["start_m0"].values)
        for group, chosen in enumerate((~warm, warm)):
            outcome = runs["outcome"].isel(start=np.flatnonzero(chosen))
            of_group = counts.sel(N=N, alpha=runs["alpha"].values).isel(start_group=group)
            for name in ("recovered", "trapped", "undecided"):
                expected = (outcome == Outcome[name.upper()]).sum("start").values
                np.testing.assert_array_equal(of_group[name].values, expected)
            assert (of_group["runs"] == chosen.sum()).all()


@pytest.mark.parametrize("start", ["random", "warm starts, m0 = 0.5"])
def test_a_reduced_sweep_answers_at_any_time_as_its_runs_do(reduced, start):
    sweep, folder, target = reduced
    full, kept = pp.open_sweep(folder.root).phase, pp.open_sweep(target.root).phase
    for T in (0.3, 7.0, sweep.t_max):
        xr.testing.assert_allclose(kept.success(T, start, level=0.9), full.success(T, start, level=0.9))
        found = kept.alpha_50(start, T)
        xr.testing.assert_allclose(found, full.alpha_50(start, T))
        names = ["N", "alpha", "instance"]
        counts = (phase.counts(T, start).sort_values(names, ignore_index=True) for phase in (kept, full))
        pd.testing.assert_frame_equal(*counts)
    assert (kept.success(start=start)["pending"] == 0).all()
    limit = kept.alpha_50(start, T=np.inf)
    xr.testing.assert_allclose(limit, full.alpha_50(start, T=np.inf))
    assert limit["budget"] == np.inf
    known = np.isfinite(found["alpha_50"]) & np.isfinite(limit["alpha_50"])
    assert start != "random" or known.any()
    assert (limit["alpha_50"] <= found["alpha_50"] + 0.01)[known].all()  # later recoveries only add up
    assert (limit["message"].where(known, "why") != "").where(~known, True).all()


def test_a_certified_trap_counts_from_the_time_of_its_certificate_on(reduced, tmp_path):
    copy = SweepFolder(tmp_path / "small")
    shutil.copytree(reduced[2].root, copy.root)
    table = open_store(copy.archive("recovery")).load()
    left = table["outcome"] == Outcome.UNDECIDED
    table["outcome"] = table["outcome"].where(~left, np.uint8(Outcome.TRAPPED))
    table["end_time"] = table["end_time"].where(~left, np.float32(5.0))
    write_archive(copy.archive("recovery"), table)
    kept = pp.open_sweep(copy.root).phase
    before, after, end = (kept.success(T) for T in (4.0, 6.0, reduced[0].t_max))
    assert (before["trapped_share"].sum(), end["undecided_share"].sum()) == (0, 0)
    assert after["trapped_share"].sum() > 0
    np.testing.assert_array_equal(after["trapped_share"], end["trapped_share"])


def test_a_sweep_reduced_without_recovery_times_says_what_to_do(reduced, tmp_path):
    _, folder, target = reduced
    copy = SweepFolder(tmp_path / "former")
    shutil.copytree(target.root, copy.root)
    copy.archive("recovery").unlink()
    for path in copy.root.iterdir():  # earlier versions did not list the tables
        table = open_store(path).load()
        made = {key: value for key, value in table.attrs["reduced"].items() if key != "tables"}
        write_archive(path, table.assign_attrs(reduced=made))
    former = pp.open_sweep(copy.root).phase
    xr.testing.assert_allclose(former.alpha_50(), pp.open_sweep(folder.root).phase.alpha_50())
    for ask in (lambda: former.alpha_50(T=np.inf), lambda: former.counts(7.0), lambda: former.success(7.0)):
        with pytest.raises(QueryError, match=r"reduced by an earlier version .*reduce the sweep again"):
            ask()


@pytest.mark.parametrize(
    "command",
    [
        lambda folder, _: verify(folder, sample=0, repair=False),
        lambda folder, _: compare(folder, folder, 0.01),
        lambda folder, tmp_path: reduce_sweep(folder, SweepFolder(tmp_path / "again")),
        lambda folder, tmp_path: export_sweep(folder, Format.CSV, tmp_path / "csv"),
        lambda folder, _: status(folder.root),
    ],
    ids=["verify", "compare", "reduce", "export", "status"],
)
def test_what_needs_runs_says_of_a_reduced_sweep_that_it_has_none(reduced, tmp_path, command):
    with pytest.raises(UserError, match="holds a reduced sweep, without runs") as refused:
        command(reduced[2], tmp_path)
    assert "\n" not in str(refused.value)


def test_windows_energies_and_records_are_those_of_the_runs(reduced):
    _, folder, target = reduced
    tree = pp.open_sweep(target.root)
    runs = open_store(folder.store("runs", 24)).load()
    runs = runs.isel(start=np.flatnonzero(np.isnan(runs["start_m0"].values)), alpha=1)
    cell = {"N": 24, "alpha": float(runs["alpha"]), "start_group": 0}
    stuck = runs["outcome"].values != Outcome.RECOVERED
    lost = runs["t_bbp"].values[stuck]
    window = tree["window"].to_dataset().sel(cell, method=None).sel(fate="not recovered").load()
    assert window["runs"] == stuck.sum() > 3
    assert window["t_bbp_median"] == pytest.approx(np.median(lost[np.isfinite(lost)]))
    assert window["never"] == np.isnan(lost).mean()
    last = [series[np.isfinite(series)][-1] for series in runs["loss"].values[stuck]]
    assert window["energy"] == pytest.approx(np.mean(last), rel=1e-6)
    course = tree["course"].to_dataset().sel(cell).sel(fate="not recovered").load()
    assert float(course["energy"][-1]) == pytest.approx(np.mean(last), rel=1e-5)
    assert float(course["overlap"][0]) == pytest.approx(
        abs(runs["overlap"].values[stuck][:, 0]).mean(), rel=1e-5
    )


def test_curvature_is_that_of_the_snapshots(reduced):
    sweep, folder, target = reduced
    curvature = pp.open_sweep(target.root)["curvature"].to_dataset().load()
    spectra = open_store(folder.store("spectra", 16)).load()
    at = curvature.sel(N=16, alpha=spectra["alpha"].values, fate="all").isel(time=0)
    eigenvalues = spectra["eigenvalues"].isel(time=0, eigenvalue=0).mean(("instance", "start"))
    np.testing.assert_allclose(at["lowest_eigenvalue"], eigenvalues, rtol=1e-5)
    points = open_store(folder.store("runs", 16))["snapshot"].load()
    along = np.zeros(points.shape[1:3])
    for instance in range(points.shape[1]):
        problem = pp.Problem.draw(16, 2.5, sweep.seed, instance)
        for start in range(points.shape[2]):
            along[instance, start] = dense_curvature(
                problem, sweep.loss.build(), points.values[1, instance, start, 0]
            )
    assert float(at["signal_curvature"][1]) == pytest.approx(along.mean(), rel=1e-4)


def dense_curvature(problem, loss, w):
    """e.H e from the dense Hessian."""
    w = w.astype(float)
    lower, basis = tangent_hessian(problem, loss, w)
    hessian = np.tril(lower) + np.tril(lower, -1).T
    m = w @ problem.signal / problem.N
    direction = basis.coordinates((problem.signal - m * w) / np.sqrt(problem.N * (1 - m**2)))
    return direction @ hessian @ direction


def test_signal_curvature_is_that_of_the_dense_hessian():
    problem, loss = pp.Problem.draw(N=20, alpha=3.0, seed=1, instance=2), pp.NormalisedQuartic(a=0.3)
    points = pp.starts.warm(problem, 3, 0, m0=0.4)
    measured = pp.spectrum(problem, loss, points, k=1)
    found = signal_curvature(
        loss,
        problem.labels,
        points @ problem.sensing.T / np.sqrt(20),
        measured["overlap"].values,
        measured["mu"].values,
        20,
    )
    np.testing.assert_allclose(found, [dense_curvature(problem, loss, w) for w in points], rtol=1e-5)


def test_errors_of_means_are_those_of_instances():
    rng = np.random.default_rng(1)
    errors, means = [], []
    for _ in range(400):
        # two thirds of the variance are shared by the five starts of an instance
        values = rng.normal(size=(30, 1)) * np.sqrt(2) + rng.normal(size=(30, 5))
        mean, error, count = clustered_mean(values, rng.random((30, 5)) < 0.8)
        means.append(mean)
        errors.append(error)
    assert count < 150
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)


def test_a_reduced_sweep_knows_where_it_comes_from(reduced):
    sweep, folder, target = reduced
    tree = pp.open_sweep(target.root)
    assert tree.phase.sweep.model_dump(exclude={"cluster"}) == sweep.model_dump(exclude={"cluster"})
    runs, kept = open_store(folder.store("runs", 24)).attrs, tree["counts"].attrs
    for name in ("specification", "code", "package_versions", "created"):
        assert kept[name] == runs[name]
    assert set(kept["reduced"]) == {"at", "commit", "machine", "core_minutes", "tables"}
    assert {"theory", "success", "scaling", "fate", "curvature"} <= set(tree.children)


@pytest.mark.parametrize(
    ("measured", "minutes"),
    [
        ({}, None),
        ({"descent": "s\tcpu_time\n70.0\t90.0\n", "report": "s\tcpu_time\nNA\tNA\n"}, 1.5),
        ({"descent": "s\tcpu_time\n70.0\t90.0\n", "report": "\0\0"}, None),
        ({"descent": "s\tcpu_time\n70.0\tlong\n"}, None),
    ],
)
def test_a_reduced_sweep_keeps_its_cost_if_that_was_measured(reduced, tmp_path, measured, minutes):
    copy = SweepFolder(tmp_path / "measured")
    shutil.copytree(reduced[1].root, copy.root)
    (copy.root / "benchmarks").mkdir()
    for job, text in measured.items():
        (copy.root / "benchmarks" / f"{job}.tsv").write_text(text)
    reduce_sweep(copy, SweepFolder(tmp_path / "reduced"))
    assert pp.open_sweep(tmp_path / "reduced")["counts"].attrs["reduced"]["core_minutes"] == minutes


def test_the_cost_of_runs_that_several_commands_computed_is_not_known(reduced, tmp_path):
    copy = SweepFolder(tmp_path / "measured")
    shutil.copytree(reduced[1].root, copy.root)
    (copy.root / "benchmarks").mkdir()
    (copy.root / "benchmarks" / "descent.tsv").write_text("s\tcpu_time\n70.0\t90.0\n")
    history = read_history(copy)
    assert core_minutes(copy, history) == 1.5
    next(entry for entry in history if entry["store"] == "runs/N24")["started"] = "earlier"
    assert core_minutes(copy, history) is None


def test_tables_are_not_put_beside_runs(reduced):
    _, folder, _ = reduced
    with pytest.raises(OtherReductionError, match="holds the runs of a sweep; give the tables a folder"):
        reduce_sweep(folder, folder)
    assert not list(folder.root.glob("*.zip"))


def test_tables_of_another_reduction_are_not_left_beside_new_ones(reduced, tmp_path):
    _, folder, target = reduced
    copy = SweepFolder(tmp_path / "again")
    shutil.copytree(target.root, copy.root)
    shutil.copy(copy.archive("success"), copy.archive("precision"))
    before = {path.name: path.read_bytes() for path in copy.root.iterdir()}
    with pytest.raises(OtherReductionError, match=r"precision\.zarr\.zip of another reduction; remove it"):
        reduce_sweep(folder, copy)
    assert {path.name: path.read_bytes() for path in copy.root.iterdir()} == before
    copy.archive("precision").unlink()
    reduce_sweep(folder, copy)
    pp.open_sweep(copy.root)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("x" * 300, "File name too long"),
        ("file", "file is not a writable folder"),
        ("link/small", "link is not a writable folder"),
        ("/proc/none", "No such file or directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_by_one_sentence(reduced, tmp_path, place, reason):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ReductionError, match=reason) as refused:
        reduce_sweep(reduced[1], SweepFolder(tmp_path / place))
    assert "choose another folder with --to" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "link"}


def test_an_archive_is_one_file_of_the_same_bytes_for_the_same_table(tmp_path):
    table = xr.Dataset({"p": ("alpha", [0.5, np.nan])}, {"alpha": [2.0, 3.0], "fate": ["lost", "found"]})
    one, other = (tmp_path / folder / "counts.zarr.zip" for folder in ("one", "other"))
    for path in (one, other):
        path.parent.mkdir()
        write_archive(path, table)
    assert one.read_bytes() == other.read_bytes()
    xr.testing.assert_identical(open_store(one).load(), table)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Bytes of a zipped table with two variables."""
    path = tmp_path_factory.mktemp("archive") / "counts.zarr.zip"
    write_archive(path, xr.Dataset({"p": ("alpha", [0.5, 0.25]), "q": ("alpha", [0.5, 0.75])}))
    return path.read_bytes()


def test_no_changed_byte_of_an_archive_is_read_as_a_number(archive, tmp_path):
    path = tmp_path / "counts.zarr.zip"
    path.write_bytes(archive)
    whole = open_store(path).load()
    refused = 0
    for position in [*range(0, len(archive), 97), *range(len(archive) - 300, len(archive))]:
        changed = bytearray(archive)
        changed[position] ^= 1
        path.write_bytes(changed)
        try:
            found = open_store(path).load()
        except DamagedStoreError:
            refused += 1
        else:  # a date or an attribute of a file, for example
            xr.testing.assert_identical(found, whole)
    assert refused > 100


def test_an_archive_with_other_files_than_were_written_is_refused(archive, tmp_path):
    path = tmp_path / "counts.zarr.zip"

    def rewritten(change):
        with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(path, "w") as new:
            for name, content in change({name: old.read(name) for name in old.namelist()}).items():
                new.writestr(name, content)

    def lost(files):
        return {name: content for name, content in files.items() if name != "q/zarr.json"}

    def exchanged(files):
        return files | {"p/c/0": files["q/c/0"], "q/c/0": files["p/c/0"]}

    rewritten(dict)
    assert set(open_store(path)) == {"p", "q"}
    for change, complaint in ((lost, "q/zarr.json is missing"), (exchanged, "p/c/0 is not what was written")):
        rewritten(change)
        with pytest.raises(DamagedStoreError, match=complaint):
            open_store(path)


def test_a_reduced_sweep_with_a_lost_exchanged_or_unreadable_table_does_not_open(reduced, tmp_path):
    target = SweepFolder(shutil.copytree(reduced[2].root, tmp_path / "copy"))
    window = target.archive("window")
    kept = window.read_bytes()
    window.unlink()
    with pytest.raises(DamagedStoreError, match=r"lacks window\.zarr\.zip of the reduced sweep"):
        pp.open_sweep(target.root)
    window.symlink_to(window.name)
    with pytest.raises(DamagedStoreError, match="window"):
        pp.open_sweep(target.root)
    window.unlink()
    window.write_bytes(target.archive("decision").read_bytes())
    with pytest.raises(DamagedStoreError, match="it holds the table decision"):
        pp.open_sweep(target.root)
    window.write_bytes(kept)
    assert "window" in pp.open_sweep(target.root)


def test_holes_are_refused_and_named(reduced, tmp_path):
    _, folder, _ = reduced
    copy = SweepFolder(tmp_path / "holes")
    shutil.copytree(folder.root, copy.root)
    status = zarr.open_group(str(copy.store("runs", 16)), mode="r+")["status"]
    status[0, 0, 0] = 1 - Status.DONE
    with pytest.raises(IncompleteError, match=r"1 of .* at N = 16"):
        reduce_sweep(copy, SweepFolder(tmp_path / "reduced"))
    with pytest.raises(NothingToReduceError, match="holds no runs"):
        reduce_sweep(SweepFolder(tmp_path / "nowhere"), SweepFolder(tmp_path / "reduced"))
    assert not (tmp_path / "reduced").exists()


def test_tables_of_two_reductions_do_not_open_together(reduced, tmp_path, monkeypatch):
    _, folder, target = reduced
    copy = SweepFolder(tmp_path / "small")
    shutil.copytree(target.root, copy.root)
    renamed = []
    replace = Path.replace

    def killed(path, goal):
        if str(goal).endswith(".zip"):  # Zarr renames its chunks, too
            if len(renamed) == 2:
                raise OSError("killed")
            renamed.append(goal)
        return replace(path, goal)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(ReductionError, match="killed"):
        reduce_sweep(folder, copy)
    monkeypatch.undo()
    assert len(renamed) == 2
    with pytest.raises(DamagedStoreError, match="2 different reductions; create them again"):
        pp.open_sweep(copy.root)
    reduce_sweep(folder, copy)
    pp.open_sweep(copy.root)
    assert not [file for file in copy.root.iterdir() if file.name.startswith(".")]
