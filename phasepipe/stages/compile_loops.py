"""``python -m phasepipe.stages.compile_loops``: compile the loops of the engine now, not in the first sweep.

They are compiled by computing the sweep ``tiny``, and kept (:mod:`phasepipe.physics.compiled`).
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from phasepipe.specification.configuration import load_sweep, read_configuration
from phasepipe.specification.shipped import shipped_configuration
from phasepipe.stages.runs import run_descent
from phasepipe.stages.spectra import diagonalise_snapshots
from phasepipe.store.folder import SweepFolder


def compile_loops() -> None:
    """Compute runs and spectra of the sweep ``tiny`` in a temporary folder: some ten seconds, once."""
    sweep = load_sweep(read_configuration(shipped_configuration()), "tiny")
    with TemporaryDirectory() as scratch:
        folder, log = SweepFolder(Path(scratch) / sweep.name), Path(scratch) / "log"
        run_descent(sweep, folder, 1, log)
        diagonalise_snapshots(sweep, folder, 1, log)


if __name__ == "__main__":
    compile_loops()
