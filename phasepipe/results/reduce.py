"""Reduce a sweep of gigabytes to a few zipped tables that are kept with the project."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.analysis.recovery_times import recovery_table
from phasepipe.analysis.sizes import join_groups, join_sizes
from phasepipe.analysis.summaries import (
    counts_table,
    course_table,
    curvature_table,
    decision_table,
    signal_curvature,
    window_table,
)
from phasepipe.errors import UserError, reason_of
from phasepipe.log import logger
from phasepipe.results.history import read_history
from phasepipe.results.rerun import stored_problem
from phasepipe.specification.start_groups import start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.fate import fate_table
from phasepipe.store.attributes import ATTRIBUTES
from phasepipe.store.folder import SweepFolder, obstacle, shown
from phasepipe.store.history import HISTORY, commit
from phasepipe.store.tables import (
    asked_alphas,
    last_asked,
    open_store,
    read_runs,
    require_complete,
    write_archives,
)

_COPIED = ("theory", "success", "scaling", "flow_threshold", "precision")
_RUN = ("outcome", "recovery_time", "end_time", "t_bbp", "status")
_RECORDS = ("overlap", "loss", "gradient_norm", "edge", "outlier", "outlier_overlap")
_SPECTRA = (
    "eigenvalues",
    "signal_overlap",
    "overlap",
    "mu",
    "index",
    "largest_signal_overlap",
    "largest_signal_overlap_rank",
    "edge",
    "outlier",
    "outlier_overlap",
)
# attributes of the runs that describe their provenance
_ORIGIN = (
    "sweep",
    "specification",
    "specification_hash",
    "asked",
    "asked_at",
    "package_versions",
    "python_version",
    "code_version",
    "code",
    "created",
)

Table = Callable[[xr.Dataset], xr.Dataset]


class NothingToReduceError(UserError):
    """The folder holds no runs."""


class OtherReductionError(UserError):
    """The target holds runs, or tables that this reduction does not replace."""


class ReductionError(UserError):
    """The tables cannot be written; the message says why."""


def reduce_sweep(folder: SweepFolder, target: SweepFolder, trust: bool = False) -> None:
    """Write the tables of the finished sweep in ``folder`` into ``target``.

    The tables of ``_COPIED`` are copied if they exist. ``counts`` by instance, ``recovery`` with the times of
    every run, ``window``, ``decision`` and ``fate`` are computed from the runs; if the sweep has snapshots,
    also ``course`` and, once they are diagonalised, ``curvature`` (:mod:`phasepipe.analysis.summaries`).
    Every table contains the provenance of the runs, their core-minutes (without those of interrupted jobs),
    and the commit and machine that reduced them.

    Parameters
    ----------
    folder, target
        Results of the sweep, and folder for the tables.
    trust
        Whether the code of a custom loss may be run, which the table ``curvature`` needs.

    Raises
    ------
    UntrustedLossError
        If the sweep has a custom loss and spectra, and ``trust`` is False.
    NothingToReduceError
        If ``folder`` holds no runs.
    IncompleteError
        If requested runs are not computed.
    OtherReductionError
        If ``target`` holds runs, or tables that would not be replaced.
    ReductionError
        If ``target`` cannot be written.
    """
    folder.refuse_reduced()
    stores = [open_store(path) for path in folder.stores("runs").values()]
    if not stores:
        raise NothingToReduceError(
            f"{folder.root} holds no runs; give the folder of a sweep, for example results/demo"
        )
    if reason := obstacle(target.root):
        raise _not_written(target.root, reason)
    if target.stores("runs"):
        raise OtherReductionError(
            f"{target.root} holds the runs of a sweep; give the tables a folder of their own with --to"
        )
    sweep = last_asked(store.attrs for store in stores)
    sweep = sweep.trusted() if trust else sweep
    newest: dict[str, Any] = max((store.attrs for store in stores), key=lambda attrs: str(attrs["asked_at"]))
    origin = {name: newest[name] for name in _ORIGIN if name in newest}
    origin[HISTORY] = [dict(event) for event in read_history(folder)]
    origin["reduced"] = _here() | {"core_minutes": core_minutes(folder, origin[HISTORY])}
    tables = {name: open_store(folder.table(name)).load() for name in _COPIED if folder.table(name).exists()}
    tables |= _from_runs(sweep, folder)
    if folder.stores("spectra").keys() >= set(sweep.N):
        tables["curvature"] = join_sizes(
            {N: curvature_table(_spectra(sweep, N, folder)) for N in sorted(sweep.N)}
        )
    tables["fate"] = fate_table(sweep, folder)
    origin["reduced"]["tables"] = sorted(tables)
    whole = {}
    for name, table in tables.items():
        kept = {key: value for key, value in table.attrs.items() if key not in origin}
        whole[target.archive(name)] = table.assign_attrs(kept | origin)
    _refuse_other_tables(target, whole.keys())
    try:
        write_archives(whole)
    except OSError as error:
        raise _not_written(target.root, reason_of(error)) from error
    size = sum(target.archive(name).stat().st_size for name in tables)
    logger.info("%s: %s, %.0f kB", target.root, ", ".join(sorted(tables)), size / 1e3)


def _not_written(target: Path, reason: str) -> ReductionError:
    return ReductionError(f"{shown(target)} cannot be written ({reason}); choose another folder with --to")


def _refuse_other_tables(target: SweepFolder, written: Collection[Path]) -> None:
    """Refuse a folder with tables that would stay beside the new ones, and could not be opened with them."""
    if other := sorted(path.name for path in target.root.glob("*.zarr.zip") if path not in written):
        raise OtherReductionError(
            f"{target.root} holds {', '.join(other)} of another reduction; remove it, or give another folder"
        )


def _from_runs(sweep: Sweep, folder: SweepFolder) -> dict[str, xr.Dataset]:
    """Tables computed from the runs, over N, alpha and group of starts."""
    made: dict[str, Table] = {
        "counts": _counts,
        "recovery": recovery_table,
        "window": window_table,
        "decision": decision_table,
    }
    if len(sweep.snapshot_indices()):
        made["course"] = course_table
    found: dict[str, dict[int, xr.Dataset]] = {name: {} for name in made}
    groups = start_groups(sweep)
    for N in sorted(sweep.N):
        stored = read_runs(folder, sweep, N)
        require_complete(sweep, N, stored)
        runs = stored[[*_RUN, *_RECORDS]].load()
        for name, make in made.items():
            found[name][N] = join_groups([make(group.select(runs)) for group in groups])
    labels = {
        "start_kind": (
            "start_group",
            np.array([group.kind for group in groups], np.uint8),
            ATTRIBUTES["start_kind"],
        ),
        "start_m0": ("start_group", np.array([group.m0 for group in groups]), ATTRIBUTES["start_m0"]),
    }
    return {name: join_sizes(tables).assign_coords(labels) for name, tables in found.items()}


def _counts(runs: xr.Dataset) -> xr.Dataset:
    return counts_table(runs["outcome"])


def _spectra(sweep: Sweep, N: int, folder: SweepFolder) -> xr.Dataset:
    """Spectra at one N with the outcome of their runs and the curvature along the signal."""
    measured = asked_alphas(open_store(folder.store("spectra", N))[list(_SPECTRA)], sweep, N).load()
    runs = read_runs(folder, sweep, N).isel(
        instance=slice(measured.sizes["instance"]), start=slice(measured.sizes["start"])
    )
    points = runs["snapshot"].rename(
        snapshot_instance="instance", snapshot_start="start", snapshot_time="time"
    )
    along = xr.full_like(measured["overlap"], np.nan)
    for row, M in enumerate(measured["measurements"].values.tolist()):
        for instance in range(measured.sizes["instance"]):
            problem = stored_problem(sweep, folder, N, M, instance)
            states = points.isel(alpha=row, instance=instance).values
            at = measured.isel(alpha=row, instance=instance)
            along[row, instance] = signal_curvature(
                sweep.loss.build(),
                problem.labels,
                states @ problem.sensing.T / np.sqrt(N),
                at["overlap"].values,
                at["mu"].values,
                N,
            )
    outcome = (("alpha", "instance", "start"), runs["outcome"].values)
    return measured.assign(signal_curvature=along, outcome=outcome)


def _here() -> dict[str, Any]:
    """Time, commit of the program and machine of the reduction."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
    }


def core_minutes(folder: SweepFolder, history: list[dict[str, Any]]) -> float | None:
    """CPU time of all jobs and their workers, as Snakemake measured it.

    None if that cannot be read, or if several commands computed the runs: it measures the last one alone.
    """
    runs = [entry for entry in history if str(entry.get("store")).startswith("runs/")]
    if len({(entry.get("command"), entry.get("started")) for entry in runs}) > 1:
        return None
    try:
        files = sorted((folder.root / "benchmarks").glob("*.tsv"))
        seconds = [float(pd.read_csv(path, sep="\t")["cpu_time"].sum()) for path in files]
    except (OSError, ValueError, KeyError):
        return None
    return round(sum(seconds) / 60, 1) if files else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
