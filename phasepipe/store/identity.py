"""Check that a store was made with the settings and the code of the current sweep."""

from __future__ import annotations

from pathlib import Path

from phasepipe.errors import UserError
from phasepipe.specification.loss import CustomLossSpec
from phasepipe.specification.sweep import Sweep
from phasepipe.store.opening import read_attributes
from phasepipe.store.provenance import code_hashes, differences


class StoreMismatchError(UserError, ValueError):
    """The store does not match the sweep; the message says what differs."""


def check_identity(path: Path, sweep: Sweep, stage: str) -> None:
    """Refuse a store that was made with other settings, by other code, or for a larger ``t_max``.

    The code of a custom loss is compared only if it is trusted, because that needs an import.

    Raises
    ------
    StoreMismatchError
        Says what differs and what to do.
    """
    stored = read_attributes(path)
    longest = stored.get("asked", {}).get("t_max", 0.0)
    if stage != "instances" and longest > sweep.t_max:
        raise StoreMismatchError(
            f"{path} holds runs to t_max = {longest:g}, and t_max is {sweep.t_max:g} now; set t_max: "
            f"{longest:g} again (tree.phase.success(T={sweep.t_max:g}) answers for the shorter time), or "
            "give the sweep another name"
        )
    if found := differences(stored.get("specification", {}), sweep.identity()):
        raise StoreMismatchError(
            f"{path} holds a different sweep: {'; '.join(found)}. Results of different settings cannot be "
            "mixed: give the sweep another name, or remove that folder"
        )
    stored_code = dict(stored.get("code", {}))
    if isinstance(sweep.loss, CustomLossSpec) and not sweep.loss.is_trusted:
        stored_code.pop(sweep.loss.path, None)
    code = differences(stored_code, code_hashes(sweep, stage))
    if code:
        files = ", ".join(entry.split(" is ")[0] for entry in code)
        raise StoreMismatchError(
            f"{path} was computed by a different version of the code ({files} changed since "
            f"{stored.get('created')}). Give the sweep another name, remove that folder, or return to that "
            "version"
        )
