"""Attributes of the coordinates and enumerations in the stores of a sweep."""

from __future__ import annotations

from typing import Any

from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.start_kinds import StartKind
from phasepipe.store.layout import Status
from phasepipe.variables import COORDINATES, ENGINE, flags

ATTRIBUTES: dict[str, dict[str, Any]] = {
    name: variable.attributes() for name, variable in COORDINATES.items()
} | {
    "start_kind": COORDINATES["start_kind"].attributes() | flags(StartKind),
    "outcome": ENGINE["outcome"].attributes() | flags(Outcome),
    "status": flags(Status),
}
