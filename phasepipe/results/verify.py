"""Verification of a results folder: nothing damaged is believed, and what is damaged is computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from pydantic import ValidationError

from phasepipe.errors import UserError
from phasepipe.physics.flow import run_batch
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.problem import Problem
from phasepipe.physics.starts import StartKind
from phasepipe.simulation.draws import chosen_keys, draw_problem, draw_starts
from phasepipe.specification.sweep import Sweep
from phasepipe.store.block_store import check_identity
from phasepipe.store.folder import SweepFolder
from phasepipe.store.integrity import (
    Findings,
    blocks_where,
    check_chunks,
    check_skeleton,
    mark_pending,
)
from phasepipe.store.layout import Status
from phasepipe.store.lock import exclusive
from phasepipe.variables import ENGINE

STAGES = ("instances", "runs", "spectra")
TABLES = ("theory", "success", "scaling", "fate", "flow_threshold")


def verify(folder: SweepFolder, sample: int, mend: bool, seed: int = 0) -> dict[str, Findings]:
    """Check every store of a sweep.

    Parameters
    ----------
    folder
        Results of a sweep.
    sample
        Instances per N that are drawn again, and whose runs are run again.
    mend
        Put metadata back, mark damaged blocks as pending and, if there are any, remove all receipts, figures
        and the report, which the next workflow makes again.
    seed
        Chooses the sample.

    Returns
    -------
    dict
        Findings by store, for example ``runs/N64``.

    Raises
    ------
    StoreLockedError
        If a stage is writing.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for stage in STAGES:
        for N, path in folder.stores(stage).items():
            with exclusive(path.with_suffix(".lock")):
                found[f"{stage}/N{N}"] = _verify_store(folder, stage, N, sample, mend, rng)
    for name in TABLES:
        if folder.table(name).exists():
            found[name] = _verify_table(folder, name)
    if mend and any(findings.damaged for findings in found.values()):
        _withdraw_receipts(folder)
    return found


def _verify_store(
    folder: SweepFolder, stage: str, N: int, sample: int, mend: bool, rng: np.random.Generator
) -> Findings:
    path = folder.store(stage, N)
    found = check_skeleton(path, mend)
    if mend or not found.files:
        check_chunks(path, found)
        if stage == "runs" and not found.blocks:
            _check_runs(path, found)
        if stage != "spectra" and not found.blocks:
            _check_sample(path, stage, N, sample, found, rng)
    else:
        found.notes.append("chunks are not read while the metadata are damaged")
    if mend and found.blocks:
        mark_pending(path, list(found.blocks))
    return found


def _check_runs(path: Path, found: Findings) -> None:
    """What is done has values, and they do not contradict each other."""
    names = ["status", "outcome", "recovery_time", "end_time", "evaluations", "overlap"]
    group: Any = zarr.open_group(str(path), mode="r")
    data = {name: np.asarray(group[name][...]) for name in names}
    done = data["status"] == Status.DONE
    valid = (data["outcome"] >= Outcome.RECOVERED) & (data["outcome"] <= Outcome.DIVERGED)
    recovered = data["outcome"] == Outcome.RECOVERED
    whole = np.isfinite(data["end_time"]) & np.isfinite(data["overlap"][..., 0]) & (data["evaluations"] > 0)
    complaints = {
        "a run that is done has no valid outcome": done & ~valid,
        "a run has a recovery time and has not recovered, or the other way round": done
        & (recovered != np.isfinite(data["recovery_time"])),
        "a run that is done has missing values": done & ~whole,
    }
    for complaint, wrong in complaints.items():
        for block in blocks_where(path, wrong):
            found.blocks.setdefault(block, complaint)


def _check_sample(
    path: Path, stage: str, N: int, sample: int, found: Findings, rng: np.random.Generator
) -> None:
    """Draw instances again, and run their runs again."""
    group: Any = zarr.open_group(str(path), mode="r")
    try:
        sweep = stored_sweep(group, stage, N)
        check_identity(path, sweep, stage)
    except (UserError, ValidationError, KeyError) as error:
        found.notes.append(f"nothing is computed again: {error}")
        return
    status = np.asarray(group["status"][...]) == Status.DONE
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
            found.blocks.setdefault(block, f"instance {instance} at alpha = {M / N:.4g} came out otherwise")


def _differing_runs(
    group: Any, sweep: Sweep, problem: Problem, cell: tuple[int, int], done: Any, found: Findings
) -> Any:
    """Runs of one instance whose fate is not what is stored; other bits alone are a note."""
    keys = {key: np.asarray(group[key][...]) for key in ("start_kind", "start_m0", "start_number")}
    wrong = np.zeros(group["status"].shape, bool)
    starts = draw_starts(sweep, problem, chosen_keys(keys, done))
    runs = run_batch([problem], sweep.loss.build(), [starts], sweep.protocol(), np.zeros(len(starts), bool))
    stored = {name: np.asarray(group[name][cell])[done] for name in ENGINE}
    wrong[(*cell, done)] = stored["outcome"] != runs["outcome"].values
    if any(
        stored[name].tobytes() != runs[name].values.astype(stored[name].dtype).tobytes() for name in stored
    ):
        found.notes.append("runs computed again have other bits: other processor, or library")
    return wrong


def stored_sweep(group: Any, stage: str, N: int) -> Sweep:
    """The sweep that a store was made for, from its attributes and coordinates.

    Raises
    ------
    pydantic.ValidationError, KeyError
        If the attributes do not describe one.
    """
    starts: list[dict[str, Any]] = [{"kind": "random", "count": 1}]
    if stage == "runs":
        kinds = group["start_kind"][...].tolist()
        keys = set(zip(kinds, map(repr, group["start_m0"][...].tolist()), strict=True))
        starts = [
            {"kind": StartKind(kind).name.lower(), "count": 1} | ({} if m0 == "nan" else {"m0": float(m0)})
            for kind, m0 in sorted(keys)
        ]
    settings = dict(group.attrs["specification"])
    M = np.asarray(group["measurements"][...])
    return Sweep.model_validate(
        settings
        | {
            "name": group.attrs["sweep"],
            "N": [N],
            "alpha": (M / N).tolist(),
            "instances": group["instance"].shape[0],
            "starts": starts,
            # no part of what decides results, but runs have the same bits only on the same kind of device
            "device": group.attrs.get("asked", {}).get("device", "cpu"),
        }
    )


def _verify_table(folder: SweepFolder, name: str) -> Findings:
    """A table is small: it is read whole, and made again if that fails."""
    path = folder.table(name)
    found = check_skeleton(path, mend=False)
    try:
        group = zarr.open_group(str(path), mode="r")
        for _, array in group.arrays():
            array[...]
            found.chunks += array.nchunks
    except Exception as error:  # every codec has errors of its own
        found.files.append(str(error))
    return found


def _withdraw_receipts(folder: SweepFolder) -> None:
    """Make the next workflow look at every stage again, and draw what follows from what was damaged.

    Snakemake takes no notice of a receipt that is missing while all that was made from it is there. A
    stage that finds nothing pending ends at once.
    """
    for pattern in ("*.done", "*/N*.done", "figures/*", "report.html"):
        for path in folder.root.glob(pattern):
            path.unlink()
