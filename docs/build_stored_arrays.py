"""Write the page of all stored arrays from the registry: python docs/build_stored_arrays.py [FILE].

Default is docs/reference/stored-arrays.md. A test compares the committed page with what this writes.
"""

import sys
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.start_kinds import StartKind
from phasepipe.store.layout import Status
from phasepipe.variables import COORDINATES, STORES, Variables

PAGE = Path(__file__).parent / "reference" / "stored-arrays.md"

INTRODUCTION = """\
# Stored arrays

Every array that a sweep stores, with its dimensions, type, unit and meaning. `phasepipe.open_sweep` opens
them as one tree; each array carries its meaning and unit as the attributes `long_name` and `units`.

This page is written by `python docs/build_stored_arrays.py` from `phasepipe/variables.py`; change it there.
Unit `1` means dimensionless, and `t` is time of the gradient flow. Symbols are defined in
[physics](../explanation/physics.md)."""

COORDINATE_NOTE = """\
Shared by the stores. A coordinate without dimensions is a single number; in tables over all N, `N` is a
dimension too."""

DIMENSIONS = {
    "component": "components of a vector in N dimensions",
    "measurement": "measurements; entries beyond the M of an alpha are NaN",
    "eigenvalue": "lowest eigenvalues, in ascending order",
    "mode": "all N - 1 eigenvalues of the tangent space, in ascending order",
    "grid": "points of a predicted density",
    "snapshot_instance": "instances that keep points w(t): the first ones",
    "snapshot_start": "starts of these instances that keep points: the first ones",
    "start_group": "groups of equal starts, in the order of the key `starts`",
    "bin": "bins of equally many runs",
    "addition": "instances that a round added at one N and alpha",
}

PLACES = {
    "instances": (
        "Instances",
        "`instances/N*.zarr`, one store per N. `sensing` only with `store_sensing: true`.",
    ),
    "runs": ("Runs", "`runs/N*.zarr`, one store per N. `snapshot` only where the sweep keeps snapshots."),
    "spectra": ("Spectra", "`spectra/N*.zarr`, one store per N, at the snapshots of the runs."),
    "fate": (
        "Fate",
        "`fate.zarr`, one table over all N.",
    ),
    "dynamics": ("Dynamics for N to infinity", "`dynamics.zarr`, only with `dynamics_theory` in the sweep."),
    "flow_threshold": (
        "Flow threshold",
        "`flow_threshold.zarr`, one table over all N, only with `zero_signal: true`.",
    ),
    "precision": (
        "Rounds",
        "`precision.zarr`, only with the key `precision`: what the sweep added to its grid, and why.",
    ),
    **{
        name: (f"Reduced sweeps: {name}", f"`{name}.zarr.zip`, written by `phasepipe reduce`.")
        for name in ("counts", "recovery", "window", "decision", "course", "curvature")
    },
}

STATUS = """\
These three kinds of store also hold `status`, along the dimensions that blocks are cut along. It is 0 until
an entry is computed."""


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield INTRODUCTION
    yield from _section("Coordinates", COORDINATE_NOTE, COORDINATES)
    yield from ["", "Dimensions without a coordinate:", "", "| dimension | meaning |", "|---|---|"]
    yield from (f"| `{name}` | {meaning} |" for name, meaning in DIMENSIONS.items())
    for store, variables in STORES.items():
        title, place = PLACES.get(store, (store.capitalize(), f"`{store}.zarr`, one table over all N."))
        yield from _section(title, place, variables)
        if store == "spectra":
            yield from ["", STATUS]
    yield from ["", "## Codes", "", "| array | codes |", "|---|---|"]
    for name, kinds in (("outcome", Outcome), ("start_kind", StartKind), ("status", Status)):
        yield f"| `{name}` | {_codes(kinds)} |"


def _section(title: str, note: str, variables: Variables) -> Iterator[str]:
    yield from [
        "",
        f"## {title}",
        "",
        note,
        "",
        "| name | dimensions | type | unit | meaning |",
        "|---|---|---|---|---|",
    ]
    for name, variable in variables.items():
        meaning = variable.long_name.replace("|", "\\|")
        dims = ", ".join(variable.dims) or "-"
        yield f"| `{name}` | {dims} | {variable.dtype} | {variable.units} | {meaning} |"


def _codes(kinds: type[IntEnum]) -> str:
    return ", ".join(f"{int(kind)} {kind.name.lower()}" for kind in kinds)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page())
