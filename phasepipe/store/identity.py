"""What a store was made for and by: a difference is refused, and named."""

from __future__ import annotations

from pathlib import Path

from phasepipe.errors import UserError
from phasepipe.specification.sweep import Sweep
from phasepipe.store.opening import read_attributes
from phasepipe.store.provenance import code_hashes, differences


class StoreMismatchError(UserError, ValueError):
    """The store holds something else than the sweep asks for; the message says what differs."""


def check_identity(path: Path, sweep: Sweep, stage: str) -> None:
    """Refuse a store that was made with other settings or by other code.

    Raises
    ------
    StoreMismatchError
        Says what differs and what to do.
    """
    stored = read_attributes(path)
    if found := differences(stored.get("specification", {}), sweep.identity()):
        raise StoreMismatchError(
            f"{path} holds another sweep: {'; '.join(found)}. Results of different settings do not mix: "
            "give the sweep another name, or remove that folder"
        )
    code = differences(stored.get("code", {}), code_hashes(sweep, stage))
    if code:
        files = ", ".join(entry.split(" is ")[0] for entry in code)
        raise StoreMismatchError(
            f"{path} was computed by other code ({files} changed since {stored.get('created')}). "
            "Give the sweep another name, remove that folder, or go back to that version"
        )
