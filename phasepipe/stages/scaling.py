"""Stage *scaling*: alpha_50(N) at every time budget, its limit for N to infinity, and the data collapse.

See docs/explanation/physics.md §8.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.analysis.recovery_times import RecoveryTimes
from phasepipe.analysis.scaling import ScalingStudy, scaling_dataset, scaling_study
from phasepipe.analysis.scaling_text import scaling_report, time_limit_report, verdict
from phasepipe.analysis.success import counts_at_budget
from phasepipe.analysis.time_limit import time_limit_dataset
from phasepipe.figures.bands import Band
from phasepipe.figures.extrapolation import extrapolation_figure
from phasepipe.figures.scaling import (
    collapse_figure,
    residuals_figure,
    scaling_overview_figure,
    success_curves_figure,
)
from phasepipe.figures.scaling_tables import extrapolation_table, scaling_overview_table, success_curves_table
from phasepipe.figures.time_limit import time_limit_figure, time_limit_table
from phasepipe.log import logger, logging_to
from phasepipe.specification.start_groups import StartGroup, start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.figure_files import save
from phasepipe.stages.success import time_budgets
from phasepipe.store.folder import SweepFolder
from phasepipe.store.provenance import provenance
from phasepipe.store.tables import open_store, read_runs, require_complete, write_table
from phasepipe.variables import WORDS, labelled


def study_scaling(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Write ``scaling.zarr``, ``scaling.md`` and the figures of the scaling.

    The extrapolation in N and the collapse hold at the full time budget; alpha_50 of every N is also given
    at shorter budgets and for unlimited time. Where the data do not allow an estimate (a single N, no
    alpha_50 inside the grid), ``scaling.md`` says so; this is not an error.

    Raises
    ------
    IncompleteError
        If runs that the sweep requests are not computed.
    """
    with logging_to(log):
        theory = open_store(folder.table("theory"))
        limit = float(theory["alpha_threshold"])
        band = Band(float(theory["alpha_most_numerous"]), float(theory["alpha_lowest"]))
        for former in (folder.root / "figures").glob("scaling-*"):
            former.unlink()  # not all figures can be drawn from all data, so old ones must not remain
        tables, report = [], []
        for group in start_groups(sweep):
            runs = runs_of_group(sweep, folder, group)
            text, dataset = _study(sweep, runs, folder, group, None if np.isnan(limit) else limit, band)
            over_time = _over_time(sweep, runs, folder, group)
            tables.append(dataset.merge(over_time))
            report += [text, time_limit_report(over_time)]
        table = xr.concat(tables, "start_group", join="outer", combine_attrs="drop_conflicts")
        table.attrs |= provenance(sweep)
        write_table(folder.table("scaling"), table)
        (folder.root / "scaling.md").write_text("\n".join(report))
        logger.info("scaling: wrote %s", folder.root / "scaling.md")


def _study(
    sweep: Sweep,
    runs: Sequence[xr.Dataset],
    folder: SweepFolder,
    group: StartGroup,
    limit: float | None,
    band: Band,
) -> tuple[str, xr.Dataset]:
    """Text of the report and table of results for one kind of start."""
    try:
        study = scaling_study(
            full_counts(sweep, runs),
            imposed_limit=limit,
            imposed_from="1RSB",
            steered=sweep.precise_sizes(),
        )
    except ValueError as error:
        note = f"# Finite-size scaling: {group.name}\n\nThese data do not allow it: {error}.\n"
        return note, _text_variables("", str(error))
    _draw(study, folder, group, band)
    report = scaling_report(study).replace("# Finite-size scaling", f"# Finite-size scaling: {group.name}", 1)
    words = _text_variables(
        verdict(study.alpha_50) if study.alpha_50 is not None else "", "; ".join(study.notes)
    )
    return report, scaling_dataset(study).merge(words)


def _over_time(
    sweep: Sweep, runs: Sequence[xr.Dataset], folder: SweepFolder, group: StartGroup
) -> xr.Dataset:
    """alpha_50 at every time budget and for unlimited time, with its figure, for one kind of start."""
    sizes = [RecoveryTimes.of(at["outcome"], at["recovery_time"], at["end_time"]) for at in runs]
    table = time_limit_dataset(sizes, time_budgets(sweep.t_max), steered=sweep.precise_sizes())
    if np.isfinite(table["budget_alpha_50"]).any():
        save(time_limit_figure(table), folder, f"scaling-time{group.suffix}", time_limit_table(table))
    return table


def _text_variables(conclusion: str, notes: str) -> xr.Dataset:
    """The conclusion in words, empty if there is none, and notes on the estimates that were not possible."""
    return labelled(xr.Dataset({"verdict": conclusion, "notes": notes}), WORDS)


def runs_of_group(sweep: Sweep, folder: SweepFolder, group: StartGroup) -> list[xr.Dataset]:
    """Outcome, recovery time and end time of all runs of one kind of start, one dataset per N, ascending.

    Raises
    ------
    IncompleteError
        If runs that the sweep requests are not computed.
    """
    sizes = []
    for N in sorted(sweep.N):
        stored = read_runs(folder, sweep, N)
        require_complete(sweep, N, stored)
        sizes.append(group.select(stored[["outcome", "recovery_time", "end_time"]]).load())
    return sizes


def full_counts(sweep: Sweep, runs: Sequence[xr.Dataset]) -> pd.DataFrame:
    """Recoveries and runs of every instance at the full time budget."""
    tables = [counts_at_budget(at["outcome"], at["recovery_time"], sweep.t_max) for at in runs]
    return pd.concat(tables, ignore_index=True)


def _draw(study: ScalingStudy, folder: SweepFolder, group: StartGroup, band: Band) -> None:
    curves, alpha_50 = study.curves, study.alpha_50
    points = success_curves_table(curves)
    figures = {
        "curves": (success_curves_figure(curves), points.drop(columns=["residual", "goodness"])),
        "residuals": (residuals_figure(curves), points[["N", "alpha", "residual", "goodness"]]),
    }
    if alpha_50 is not None:
        figures["limit"] = (
            extrapolation_figure(alpha_50, curves=curves, band=band),
            extrapolation_table(alpha_50),
        )
    if alpha_50 is not None and study.width is not None:
        figures["overview"] = (
            scaling_overview_figure(curves, alpha_50, band),
            scaling_overview_table(curves, alpha_50),
        )
    if study.collapses:
        figures["collapse"] = collapse_figure(study.collapses[0]), study.collapses[0].points
    for name, (figure, numbers) in figures.items():
        save(figure, folder, f"scaling-{name}{group.suffix}", numbers)
