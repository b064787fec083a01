"""Writes the results as JSON and as Markdown."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.harness import Row, Table

Sections = dict[str, dict[str, Any]]


def read(folder: Path) -> Sections:
    """Results of an earlier run in ``folder``, which stay unless their section is run again."""
    file = folder / "results.json"
    return json.loads(file.read_text())["sections"] if file.exists() else {}


def write(folder: Path, machine: Row, sections: Sections) -> None:
    """Write ``results.json`` and ``results.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {"machine": machine, "sections": sections}
    (folder / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    (folder / "results.md").write_text(_markdown(machine, sections))


def section(title: str, tables: list[Table], circumstances: Row) -> dict[str, Any]:
    """Stored form of a section: its tables and the circumstances of the measurement."""
    return {
        "title": title,
        "circumstances": circumstances,
        "tables": [
            {
                "title": table.title,
                "note": table.note,
                "rows": [{key: _plain(value) for key, value in row.items()} for row in table.rows],
            }
            for table in tables
        ],
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.item() if hasattr(value, "item") else value


def _markdown(machine: Row, sections: Sections) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; [results.json](results.json) has the same numbers in full. One core and "
        "one BLAS",
        "thread unless workers are named. Contestants take turns in one process; ratios are medians over "
        "turns with",
        "quartiles in brackets.",
        "",
        _table([{"": key, " ": value} for key, value in machine.items()]),
    ]
    for name, content in sections.items():
        lines += ["", f"## {content['title']}"]
        for table in content["tables"]:
            lines += ["", f"**{table['title']}.** {table['note']}", "", _table(table["rows"])]
        circumstances = ", ".join(f"{key} {_shown(value)}" for key, value in content["circumstances"].items())
        lines += ["", f"*`--only {name}`: {circumstances}*"]
    return "\n".join(lines) + "\n"


def _table(rows: list[Row]) -> str:
    shown = pd.DataFrame([{key: _shown(value) for key, value in row.items()} for row in rows])
    return shown.to_markdown(index=False, disable_numparse=True)


def _shown(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"median", "low", "high"}:
        return f"{value['median']:.3g} ({value['low']:.3g}–{value['high']:.3g})"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "" if value is None else str(value)
