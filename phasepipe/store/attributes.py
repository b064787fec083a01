"""Attributes of the coordinates that the stores of a sweep share."""

from __future__ import annotations

from typing import Any

from phasepipe.physics.starts import StartKind

ATTRIBUTES: dict[str, dict[str, Any]] = {
    "alpha": {"long_name": "realised signal-to-noise ratio M/N", "units": "1"},
    "measurements": {"long_name": "number of measurements M", "units": "1"},
    "instance": {"long_name": "number of the instance", "units": "1"},
    "start": {"long_name": "position of the start", "units": "1"},
    "start_kind": {
        "long_name": "kind of start",
        "units": "1",
        "flag_values": [int(kind) for kind in StartKind],
        "flag_meanings": " ".join(kind.name.lower() for kind in StartKind),
    },
    "start_m0": {"long_name": "prescribed overlap of the start", "units": "1"},
    "start_number": {"long_name": "number of the start within its kind", "units": "1"},
    "N": {"long_name": "dimension", "units": "1"},
    "status": {"flag_values": [0, 1], "flag_meanings": "pending done"},
}
