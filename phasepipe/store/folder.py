"""Paths of the results of a sweep."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from phasepipe.errors import SweepError, reason_of
from phasepipe.specification.sweep import Sweep
from phasepipe.store.identity import check_identity


@dataclass(frozen=True)
class SweepFolder:
    """Folder of one sweep, ``results/<sweep>``."""

    root: Path

    def store(self, stage: str, N: int) -> Path:
        """Zarr store of a stage (``instances``, ``runs``, ``spectra``) at ``N``."""
        return self.root / stage / f"N{N}.zarr"

    def stores(self, stage: str) -> dict[int, Path]:
        """All stores of a stage by N, ascending.

        Raises
        ------
        SweepError
            If the folder cannot be read, or contains a folder whose name resembles, but is not, a store name.
        """
        place = self.root / stage
        found = {}
        for name in _entries(self.root, place):
            if matched := _STORE.fullmatch(name):
                found[int(matched[1])] = place / name
            elif name.startswith("N") and name.endswith(".zarr"):
                raise SweepError(
                    f"{place / name} is not a store of this sweep (perhaps a copy of one); "
                    "move it out of that folder, or remove it"
                )
        return dict(sorted(found.items()))

    def refuse_reduced(self) -> None:
        """Refuse the tables of ``phasepipe reduce`` where runs are needed.

        Raises
        ------
        SweepError
            If the folder holds such tables and no runs.
        """
        if not self.stores("runs") and any(self.root.glob("*.zarr.zip")):
            raise SweepError(
                f"{self.root} holds a reduced sweep, without runs; name the folder it was reduced from, or "
                "open it with phasepipe.open_sweep"
            )

    def table(self, name: str) -> Path:
        """Zarr store of a result over all N, for example ``success``."""
        return self.root / f"{name}.zarr"

    def archive(self, name: str) -> Path:
        """The same result as one zipped file, as a reduced sweep holds it."""
        return self.root / f"{name}.zarr.zip"


_STORE = re.compile(r"N([1-9][0-9]{0,8})\.zarr")
_PARTS = ("instances", "runs", "spectra", "figures", "logs", "benchmarks")  # written by a workflow


def _entries(root: Path, place: Path) -> list[str]:
    """Names in a folder of a sweep; empty if that folder does not exist."""
    try:
        os.listdir(root)  # distinguishes an unreadable folder from one without this stage
        return os.listdir(place)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        wrong = place if root.is_dir() else root
        raise SweepError(
            f"{wrong} is not a folder; give the folder of a sweep, for example results/demo"
        ) from None
    except OSError as error:
        raise SweepError(f"{shown(place)} cannot be read ({error.strerror})") from None


def shown(path: Path) -> str:
    """A path as messages show it: shortened."""
    text = str(path)
    return text if len(text) <= 200 else f"{text[:200]}..."


def obstacle(folder: Path) -> str | None:
    """Why nothing can be written into a folder, which need not exist; None if nothing is in the way."""
    for existing in (folder, *folder.parents):
        try:
            existing.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return reason_of(error)
        writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
        return None if writable else f"{shown(existing)} is not a writable folder"
    return None


def check_folder(sweep: Sweep, results: Path) -> SweepFolder:
    """The folder of ``sweep``, after checking that it and its parts can be written and hold no other sweep.

    Raises
    ------
    SweepError
        If the folder cannot be written.
    StoreMismatchError
        If it holds another sweep.
    """
    folder = SweepFolder(results / sweep.name)
    for place in (folder.root, *(folder.root / name for name in _PARTS)):
        if reason := obstacle(place):
            raise SweepError(
                f"results folder {shown(place)} cannot be written ({reason}); "
                "choose another folder with the key results"
            )
    for N in sweep.N:
        for stage in ("instances", "runs"):
            if folder.store(stage, N).exists():
                check_identity(folder.store(stage, N), sweep, stage)
    return folder
