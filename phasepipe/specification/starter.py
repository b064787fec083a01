"""The first sweep of a user: a short valid file that explains every key with the text of the schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from phasepipe.specification.configuration import Configuration
from phasepipe.specification.shipped import schema_file
from phasepipe.specification.sweep import Sweep

_NAME = "first"
# a minute on two cores
_FIRST: dict[str, Any] = {
    "loss": {"kind": "normalised_quartic", "a": 0.01},
    "N": [32, 64],
    "alpha": {"start": 1.5, "stop": 4.5, "step": 0.5},
    "instances": 16,
    "starts": [{"kind": "random", "count": 8}],
    "t_max": 50,
    "snapshots": {"instances": 4, "starts": 1, "per_decade": 2},
    "seed": 1,
}


def starter_text(schema: Path | None = None) -> str:
    """Text of a configuration file with one sweep; keys that it leaves at their defaults are comments.

    Parameters
    ----------
    schema
        The JSON schema that editors should use; default: that of this installation.
    """
    fields = Configuration.model_fields
    lines = [
        f"# yaml-language-server: $schema={schema or schema_file()}",
        "# A sweep of phasepipe. In this folder:",
        "#   phasepipe check    is it valid, and how many runs are it?",
        "#   phasepipe run      compute it; interrupted, the same command goes on where it was",
        "#   phasepipe status   what is done",
        f"sweep: {_NAME}  # {fields['sweep'].description}",
        f"results: results  # {fields['results'].description}",
        "",
        f"# {fields['sweeps'].description}",
        "sweeps:",
        f"  {_NAME}:",
    ]
    for key, field in Sweep.model_fields.items():
        if key == "name":
            continue
        known = not field.is_required() and field.default is not None
        standard = f"; default {_flow(_plain(field.default))}" if known else ""
        lines.append(f"    # {field.description}{standard}")
        if key in _FIRST:
            lines.append(f"    {key}: {_flow(_FIRST[key])}")
        else:
            example = field.examples[0] if field.examples else _plain(field.default)
            lines.append(f"    # {key}: {_flow(example)}")
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_none=True) if hasattr(value, "model_dump") else value


def _flow(value: Any) -> str:
    """YAML in one line, as people write it: JSON without the quotes that it does not need."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return value if isinstance(value, str) and value.isidentifier() else json.dumps(value)
