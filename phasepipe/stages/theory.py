"""Stage *theory*: thresholds, spectra and threshold states of the loss of a sweep for N to infinity.

See docs/explanation/physics.md §6 and §7.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from phasepipe.log import logger, logging_to
from phasepipe.specification.sweep import Sweep
from phasepipe.store.folder import SweepFolder
from phasepipe.store.provenance import provenance
from phasepipe.store.tables import write_table
from phasepipe.theory.line import ThresholdLine
from phasepipe.theory.summary import at_alpha, thresholds
from phasepipe.variables import AT_ALPHA, THEORY, THRESHOLDS, labelled


def predict_thresholds(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Write ``theory.zarr``: thresholds of the loss, and spectra and threshold states at every alpha.

    A quantity that does not exist for this loss is NaN, and its attribute ``note`` gives the reason.
    """
    with logging_to(log):
        line = ThresholdLine(sweep.loss.build())
        alphas = sorted({M / N for N in sweep.N for M in sweep.measurements(N)})
        known = thresholds(line)
        rows = [at_alpha(line, alpha) for alpha in alphas]
        table = xr.Dataset({name: _number(known.get(name)) for name in THRESHOLDS}, {"alpha": alphas})
        for name in AT_ALPHA:
            table[name] = ("alpha", [_number(row.get(name)) for row in rows])
        table = labelled(table, THEORY)
        for name in THEORY:
            notes = {str(row[f"{name}_note"]) for row in (known, *rows) if f"{name}_note" in row}
            if notes:
                note = "; ".join(sorted(notes))
                table[name].attrs["note"] = note
                logger.warning("theory: %s is not known: %s", name, note)
        table.attrs = provenance(sweep) | {"alpha_init_branch": str(known.get("alpha_init_branch"))}
        write_table(folder.table("theory"), table)
        logger.info(
            "theory: alpha_init = %.6g, marginal minima unstable from %.6g to %.6g, alpha_threshold = %.6g",
            *(
                float(table[name])
                for name in ("alpha_init", "alpha_most_numerous", "alpha_lowest", "alpha_threshold")
            ),
        )


def _number(entry: float | str | bool | None) -> float:
    return float(entry) if isinstance(entry, float | int) else np.nan
