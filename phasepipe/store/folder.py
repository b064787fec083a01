"""Where the results of a sweep lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from phasepipe.errors import SweepError
from phasepipe.specification.sweep import Sweep
from phasepipe.store.block_store import check_identity


@dataclass(frozen=True)
class SweepFolder:
    """Folder of one sweep, ``results/<sweep>``."""

    root: Path

    def store(self, stage: str, N: int) -> Path:
        """Zarr store of a stage (``instances``, ``runs``, ``spectra``) at ``N``."""
        return self.root / stage / f"N{N}.zarr"

    def stores(self, stage: str) -> dict[int, Path]:
        """All stores of a stage by N, ascending."""
        found = {int(path.stem[1:]): path for path in (self.root / stage).glob("N*.zarr")}
        return dict(sorted(found.items()))

    def table(self, name: str) -> Path:
        """Zarr store of a result over all N, for example ``success``."""
        return self.root / f"{name}.zarr"

    def archive(self, name: str) -> Path:
        """The same as one zipped file, as a reduced sweep holds it."""
        return self.root / f"{name}.zarr.zip"


def check_folder(sweep: Sweep, results: Path) -> SweepFolder:
    """The folder of ``sweep``, if it can be written and holds nothing else.

    Raises
    ------
    SweepError
        If the folder cannot be written.
    StoreMismatchError
        If it holds another sweep.
    """
    folder = SweepFolder(results / sweep.name)
    existing = folder.root
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise SweepError(
            f"results folder {folder.root} cannot be written ({existing} is not a writable folder); "
            "choose another with the key results"
        )
    for N in sweep.N:
        for stage in ("instances", "runs"):
            if folder.store(stage, N).exists():
                check_identity(folder.store(stage, N), sweep, stage)
    return folder
