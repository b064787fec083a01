"""Adaptive refinement: which further alphas and instances determine alpha_50 best within a budget."""

from __future__ import annotations

from pathlib import Path

import yaml

from phasepipe.analysis.refinement import Refinement, propose_refinement
from phasepipe.physics.problem import measurement_count
from phasepipe.specification.start_groups import start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.refinement import core_seconds_per_run
from phasepipe.stages.scaling import full_counts, runs_of_group
from phasepipe.store.folder import SweepFolder


def propose(sweep: Sweep, folder: SweepFolder, budget: float) -> Refinement:
    """Propose what to run next, for the first kind of start.

    Parameters
    ----------
    sweep, folder
        A finished sweep and the folder of its results.
    budget
        Core-seconds to spend.

    Raises
    ------
    IncompleteError
        If runs that the sweep requests are not computed.
    """
    group = start_groups(sweep)[0]
    counts = full_counts(sweep, runs_of_group(sweep, folder, group))
    return propose_refinement(
        counts, core_seconds_per_run(sweep, folder), budget, starts=sweep.starts[group.position].count
    )


def refined_cells(sweep: Sweep, refinement: Refinement) -> list[dict[str, float | int]]:
    """The proposal as entries of the key ``refine``, including the entries that the sweep already has."""
    totals = {
        (cell.N, measurement_count(cell.N, cell.alpha)): (cell.alpha, cell.instances) for cell in sweep.refine
    }
    for row in refinement.proposal.to_dict("records"):
        N, alpha = int(row["N"]), float(row["alpha"])
        M = measurement_count(N, alpha)
        before = sweep.instances_at(N).get(M, 0)
        totals[N, M] = (alpha, before + int(row["instances"]))
    return [
        {"N": N, "alpha": round(alpha, 9), "instances": instances}
        for (N, _), (alpha, instances) in sorted(totals.items())
    ]


def write_refinement(path: Path, sweep: Sweep, cells: list[dict[str, float | int]]) -> None:
    """Write the cells as a configuration file that Snakemake merges with the configuration of the sweep."""
    path.write_text(yaml.safe_dump({"sweeps": {sweep.name: {"refine": cells}}}, default_flow_style=None))
