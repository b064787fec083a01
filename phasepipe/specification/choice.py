"""Which configuration file a command reads, and which of its sweeps it takes.

All commands and the workflow use :func:`choose`, so that ``phasepipe check x`` checks what
``phasepipe run x`` runs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phasepipe.errors import SweepError, shown
from phasepipe.specification.configuration import read_configuration
from phasepipe.specification.shipped import shipped_configuration

LOCAL_FILES = (Path("sweep.yaml"), Path("config/config.yaml"))
_SUFFIXES = {".yaml", ".yml", ".json"}


@dataclass(frozen=True)
class Choice:
    """Configuration files, the first of which holds the sweeps, and the name of a sweep.

    Attributes
    ----------
    files
        As :func:`~phasepipe.specification.configuration.load_configuration` takes them.
    sweep
        None for the one that the key ``sweep`` names.
    """

    files: tuple[Path, ...]
    sweep: str | None = None

    @property
    def overrides(self) -> dict[str, str]:
        """What the command line says instead of the file."""
        return {} if self.sweep is None else {"sweep": self.sweep}


def choose(words: Sequence[str] = (), config: Path | None = None) -> Choice:
    """Find the configuration that the words of a command line mean.

    Files come first, then at most one name of a sweep. A word is a file if it ends in ``.yaml`` or contains
    a ``/``. Without a file, ``sweep.yaml`` and ``config/config.yaml`` in the current folder are searched,
    then the configuration that comes with phasepipe, which is used only for a sweep asked for by name.

    Parameters
    ----------
    words
        Arguments of the command.
    config
        The file of the option ``--config``, instead of a file among the words.

    Raises
    ------
    SweepError
        If no file, or more than one, could be meant.
    """
    files = [word for word in words if _is_file(word)]
    names = [word for word in words if not _is_file(word)]
    if config is not None and files:
        raise SweepError(f"configuration {config} and {files[0]} are both given; give one")
    if len(names) > 1:
        raise SweepError(
            f"{names[0]!r} and {names[1]!r} cannot both be names of a sweep; give one name, and before "
            "it the file, whose name ends in .yaml"
        )
    if files and names and words[-1] != names[0]:
        raise SweepError(
            f"{names[0]!r} stands before {files[0]}; give the file first, then the name of a sweep"
        )
    name = names[0] if names else None
    if config is not None:
        return Choice((config,), name)
    if files:
        return Choice(tuple(map(Path, files)), name)
    return Choice((_only_local_file() if name is None else _file_with(name),), name)


def local_files() -> list[Path]:
    """Configuration files in the current folder that are read without being named."""
    return [path for path in LOCAL_FILES if os.path.lexists(path)]


def _is_file(word: str) -> bool:
    return Path(word).suffix.lower() in _SUFFIXES or "/" in word or os.sep in word


def _only_local_file() -> Path:
    found = local_files()
    if not found:
        raise SweepError(
            f"there is no {' and no '.join(map(str, LOCAL_FILES))} here; write one with phasepipe init, "
            "name a file, or name a sweep of phasepipe itself "
            f"({', '.join(_names_in(shipped_configuration()))})"
        )
    if len(found) > 1:
        raise SweepError(f"{' and '.join(map(str, found))} are both here; name the one that is meant")
    return found[0]


def _file_with(name: str) -> Path:
    known = {path: _names_in(path) for path in local_files()}
    found = [path for path, names in known.items() if name in names]
    if len(found) > 1:
        raise SweepError(
            f"sweep {name!r} is in {' and in '.join(map(str, found))}; name the file before it, as in "
            f"{found[0]} {name}"
        )
    if found:
        return found[0]
    shipped = shipped_configuration()
    names = _names_in(shipped)
    if name in names:
        return shipped
    here = [f"{', '.join(sweeps)} in {path}" for path, sweeps in known.items() if not path.samefile(shipped)]
    raise SweepError(
        f"configuration: there is no sweep {shown(name)}; the sweeps are "
        + " and ".join([*here, f"{', '.join(names)}, which come with phasepipe"])
    )


def _names_in(path: Path) -> list[str]:
    sweeps = read_configuration(path).get("sweeps")
    return [*map(str, sweeps)] if isinstance(sweeps, dict) else []
