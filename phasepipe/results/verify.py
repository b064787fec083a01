"""Verify a results folder: find damaged results, and mark them so that the workflow computes them again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from pydantic import ValidationError

from phasepipe.errors import UserError
from phasepipe.physics.batch import run_batch
from phasepipe.physics.outcomes import Outcome, unfinished
from phasepipe.physics.problem import Problem
from phasepipe.physics.start_kinds import StartKind
from phasepipe.results.contents import STAGES, TABLES
from phasepipe.simulation.draws import chosen_keys, draw_problem, draw_starts
from phasepipe.specification.sweep import Sweep
from phasepipe.store.folder import SweepFolder
from phasepipe.store.identity import check_identity
from phasepipe.store.integrity import (
    Findings,
    blocks_where,
    check_chunks,
    check_skeleton,
    mark_pending,
    write_missing_records,
)
from phasepipe.store.layout import Status
from phasepipe.store.lock import StoreLockedError, exclusive, holder
from phasepipe.store.opening import read_attributes, read_root
from phasepipe.store.packing import pack
from phasepipe.store.reading import DamagedStoreError
from phasepipe.store.seal import read_seal, sources_of
from phasepipe.store.tables import open_store
from phasepipe.variables import ENGINE


def verify(
    folder: SweepFolder, sample: int, repair: bool, seed: int = 0, trust: bool = False
) -> dict[str, Findings]:
    """Check every store of a sweep.

    Parameters
    ----------
    folder
        Results of a sweep.
    sample
        Instances per N that are drawn again, and whose runs are repeated.
    repair
        Restore metadata, mark damaged blocks as pending and, if there are any, remove all receipts, figures
        and the report, which the next workflow creates again.
    seed
        Chooses the sample.
    trust
        Whether the code of a custom loss may be run; without it, its runs are not repeated.

    Returns
    -------
    dict
        Findings by store, for example ``runs/N64``.

    Raises
    ------
    StoreLockedError
        If a stage is writing.
    SweepError
        If the folder holds a reduced sweep.
    """
    folder.refuse_reduced()
    rng = np.random.default_rng(seed)
    found = {}
    for stage in STAGES:
        for N, path in folder.stores(stage).items():
            with _without_writers(path.with_suffix(".lock"), repair):
                found[f"{stage}/N{N}"] = _verify_store(folder, stage, N, sample, repair, trust, rng)
    for name in TABLES:
        if os.path.lexists(folder.table(name)):
            found[name] = _verify_table(folder, name)
    if repair and any(findings.damaged for findings in found.values()):
        _remove_receipts(folder)
    return found


@contextmanager
def _without_writers(lock: Path, repair: bool) -> Iterator[None]:
    """Hold the lock of a store; if the folder is read-only for this user, only check that it is free."""
    if repair or os.access(lock.parent, os.W_OK):
        with exclusive(lock):
            yield
        return
    if (owner := holder(lock)) is not None:
        raise StoreLockedError(f"{lock.parent} is being written by process {owner['pid']}; wait for it")
    yield


def _verify_store(
    folder: SweepFolder, stage: str, N: int, sample: int, repair: bool, trust: bool, rng: np.random.Generator
) -> Findings:
    path = folder.store(stage, N)
    try:
        found = check_skeleton(path, repair)
        read_root(path)
        if repair:
            pack(path)
        if not repair and found.files:
            found.notes.append("chunks were not read because the metadata are damaged")
            return found
        check_chunks(path, found)
        if stage == "runs" and not found.blocks:
            _check_runs(path, found)
        if stage != "spectra" and not found.blocks:
            _check_sample(path, stage, N, sample, trust, found, rng)
        if repair:
            mark_pending(path, found.blocks)
            write_missing_records(path, found)
    except DamagedStoreError as error:
        return Findings(files=[str(error)])
    except (KeyError, ValueError, TypeError, AssertionError, OSError) as error:  # Zarr with invalid metadata
        reason = " ".join(str(error).split())
        return Findings(
            files=[f"{path} cannot be read as a store ({reason}); remove it and run the sweep again"]
        )
    return found


def _check_runs(path: Path, found: Findings) -> None:
    """Check that finished runs have values that do not contradict each other."""
    names = ["status", "outcome", "recovery_time", "end_time", "evaluations", "overlap"]
    group: Any = zarr.open_group(str(path), mode="r")
    data = {name: np.asarray(group[name][...]) for name in names}
    done = data["status"] == Status.DONE
    valid = (data["outcome"] >= Outcome.RECOVERED) & (data["outcome"] <= Outcome.DIVERGED)
    recovered = data["outcome"] == Outcome.RECOVERED
    whole = np.isfinite(data["end_time"]) & np.isfinite(data["overlap"][..., 0]) & (data["evaluations"] > 0)
    complaints = {
        "a finished run has no valid outcome": done & ~valid,
        "a run has a recovery time but has not recovered, or vice versa": done
        & (recovered != np.isfinite(data["recovery_time"])),
        "a finished run has missing values": done & ~whole,
    }
    for complaint, wrong in complaints.items():
        for block in blocks_where(path, wrong):
            found.blocks.setdefault(block, complaint)


def _check_sample(
    path: Path, stage: str, N: int, sample: int, trust: bool, found: Findings, rng: np.random.Generator
) -> None:
    """Draw a sample of instances again, and repeat their runs."""
    group: Any = zarr.open_group(str(path), mode="r")
    try:
        sweep = stored_sweep(group, stage, N)
        sweep = sweep.trusted() if trust else sweep
        if stage == "runs":
            sweep.loss.build()
        check_identity(path, sweep, stage)
    except (UserError, ValidationError, KeyError) as error:
        found.notes.append(f"no sample was computed again: {error}")
        return
    status = np.asarray(group["status"][...]) == Status.DONE
    if stage == "runs":  # repeated runs last to t_max
        status &= ~unfinished(group["outcome"][...], group["end_time"][...], sweep.t_max)
    cells = np.argwhere(status.reshape(*status.shape[:2], -1).any(axis=2))
    chosen: Any = rng.choice(len(cells), min(sample, len(cells)), replace=False) if len(cells) else []
    for row, column in cells[chosen]:
        M, instance = int(group["measurements"][row]), int(group["instance"][column])
        problem = draw_problem(sweep, N, M, instance)
        if stage == "instances":
            same = group["digest"][row, column] == problem.digest() and np.array_equal(
                group["signal"][row, column], problem.signal
            )
            wrong = np.zeros(status.shape, bool)
            wrong[row, column] = not same
        else:
            wrong = _differing_runs(group, sweep, problem, (row, column), status[row, column], found)
        for block in blocks_where(path, wrong):
            found.blocks.setdefault(
                block, f"instance {instance} at alpha = {M / N:.4g} gave a different result when repeated"
            )


def _differing_runs(
    group: Any, sweep: Sweep, problem: Problem, cell: tuple[int, int], done: Any, found: Findings
) -> Any:
    """Runs of one instance that end with another outcome than stored; a difference in bits is only noted."""
    keys = {key: np.asarray(group[key][...]) for key in ("start_kind", "start_m0", "start_number")}
    wrong = np.zeros(group["status"].shape, bool)
    starts = draw_starts(sweep, problem, chosen_keys(keys, done))
    runs = run_batch([problem], sweep.loss.build(), [starts], sweep.protocol(), np.zeros(len(starts), bool))
    stored = {name: np.asarray(group[name][cell])[done] for name in ENGINE}
    wrong[(*cell, done)] = stored["outcome"] != runs["outcome"].values
    if any(
        stored[name].tobytes() != runs[name].values.astype(stored[name].dtype).tobytes() for name in stored
    ):
        found.notes.append(
            "repeated runs differ in some bits, probably because of another processor or library"
        )
    return wrong


def stored_sweep(group: Any, stage: str, N: int) -> Sweep:
    """The sweep that a store was made for, from its attributes and coordinates.

    Raises
    ------
    pydantic.ValidationError, KeyError
        If the attributes do not describe a sweep.
    """
    starts: list[dict[str, Any]] = [{"kind": "random", "count": 1}]
    if stage == "runs":
        kinds = group["start_kind"][...].tolist()
        keys = set(zip(kinds, map(repr, group["start_m0"][...].tolist()), strict=True))
        starts = [
            {"kind": StartKind(kind).name.lower(), "count": 1} | ({} if m0 == "nan" else {"m0": float(m0)})
            for kind, m0 in sorted(keys)
        ]
    settings, asked = dict(group.attrs["specification"]), group.attrs.get("asked", {})
    if "directory" in asked.get("loss", {}):
        settings["loss"] = settings["loss"] | {"directory": asked["loss"]["directory"]}
    M = np.asarray(group["measurements"][...])
    return Sweep.model_validate(
        settings
        | {
            "name": group.attrs["sweep"],
            "N": [N],
            "alpha": (M / N).tolist(),
            "instances": group["instance"].shape[0],
            "starts": starts,
            # not part of the identity of a sweep, but runs repeat bitwise only on the same kind of device
            "device": asked.get("device", "cpu"),
            "t_max": asked["t_max"],
        }
    )


def _verify_table(folder: SweepFolder, name: str) -> Findings:
    """Read a table completely and check its seal; a damaged table will be created again."""
    path = folder.table(name)
    found = Findings()
    try:
        found.chunks = len(open_store(path).variables)
        seal = read_seal(path)
        if seal is None:
            old = check_skeleton(path, repair=False)
            found.files, found.notes = old.files, old.notes
        elif seal["sources"] != sources_of(path):
            found.files.append(f"{path.name} was made from runs that differ from the stored ones")
        mine, others = read_attributes(path).get("specification_hash"), _specification_hashes(folder)
        if others and mine is not None and mine not in others:
            found.files.append(f"{path.name} belongs to another sweep")
    except (DamagedStoreError, KeyError) as error:
        found.files.append(str(error))
    return found


def _specification_hashes(folder: SweepFolder) -> set[str]:
    """Hashes of the settings of the run stores that can be read."""
    found = set()
    for path in folder.stores("runs").values():
        with suppress(DamagedStoreError):
            found.add(str(read_attributes(path).get("specification_hash")))
    return found


def _remove_receipts(folder: SweepFolder) -> None:
    """Remove receipts, figures and report, so that the next workflow checks every stage and makes them again.

    Snakemake ignores a missing receipt if all later outputs exist. A stage without pending blocks ends at
    once.
    """
    for pattern in ("*.done", "*/N*.done", "figures/*", "report.html"):
        for path in folder.root.glob(pattern):
            path.unlink()
