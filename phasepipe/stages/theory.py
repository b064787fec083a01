"""Stage *theory*: what is known for N to infinity about the loss of a sweep (PHYSICS §6 and §7)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from phasepipe.log import logger, logging_to
from phasepipe.specification.sweep import Sweep
from phasepipe.store.attributes import ATTRIBUTES
from phasepipe.store.folder import SweepFolder
from phasepipe.store.provenance import provenance
from phasepipe.store.tables import write_table
from phasepipe.theory.line import ThresholdLine
from phasepipe.theory.summary import at_alpha, thresholds

THRESHOLDS = {
    "alpha_init": "BBP transition at a random start",
    "alpha_threshold": "BBP transition at the threshold states",
    "alpha_weak_recovery": "weak recovery, the best any algorithm can do",
    "alpha_information_theoretic": "full recovery, whatever the cost",
    "alpha_approximate_message_passing": "full recovery by approximate message passing",
}
AT_ALPHA = {
    "initial_mu": "Lagrange multiplier at a random start",
    "initial_edge": "left edge of the Hessian at a random start",
    "initial_outlier": "signal outlier of the Hessian at a random start",
    "initial_overlap": "squared overlap of the outlier with the signal at a random start",
    "threshold_energy": "energy of the threshold states per dimension",
    "threshold_chi": "response chi of the threshold states",
    "threshold_x": "breaking parameter x of the threshold states",
    "threshold_mu": "Lagrange multiplier at the threshold states",
    "threshold_outlier": "signal outlier of the Hessian at the threshold states",
    "threshold_overlap": "squared overlap of the outlier with the signal at the threshold states",
    "spectral_start_overlap": "squared overlap of the spectral start with the signal",
}


def predict_thresholds(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Write ``theory.zarr``: thresholds of the loss, and spectra and threshold states at every alpha.

    What does not exist for this loss is NaN, and the attribute ``note`` of the variable says why.
    """
    with logging_to(log):
        line = ThresholdLine(sweep.loss.build())
        alphas = sorted({M / N for N in sweep.N for M in sweep.measurements(N)})
        known = thresholds(line)
        rows = [at_alpha(line, alpha) for alpha in alphas]
        table = xr.Dataset(coords={"alpha": ("alpha", alphas, ATTRIBUTES["alpha"])})
        for name, long_name in THRESHOLDS.items():
            table[name] = ((), _number(known.get(name)), {"long_name": long_name, "units": "1"})
        for name, long_name in AT_ALPHA.items():
            column = [_number(row.get(name)) for row in rows]
            table[name] = (("alpha",), column, {"long_name": long_name, "units": "1"})
        for name in (*THRESHOLDS, *AT_ALPHA):
            notes = {str(row[f"{name}_note"]) for row in (known, *rows) if f"{name}_note" in row}
            if notes:
                note = "; ".join(sorted(notes))
                table[name].attrs["note"] = note
                logger.warning("theory: %s is not known: %s", name, note)
        table.attrs = provenance(sweep) | {"alpha_init_branch": str(known.get("alpha_init_branch"))}
        write_table(folder.table("theory"), table)
        logger.info(
            "theory: alpha_init = %.6g, alpha_threshold = %.6g",
            float(table["alpha_init"]),
            float(table["alpha_threshold"]),
        )


def _number(entry: float | str | bool | None) -> float:
    return float(entry) if isinstance(entry, float | int) else np.nan
