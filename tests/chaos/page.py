"""Writes the tables of the campaign to its page."""

from __future__ import annotations

import statistics
from pathlib import Path

from tests.chaos.campaign import Outcome
from tests.chaos.faults import KINDS

BEGIN, END = "<!-- campaign -->", "<!-- end of campaign -->"


def table(outcomes: list[Outcome]) -> str:
    """Number of outcomes by kind of fault, as Markdown."""
    head = ["fault", "faults", "without workers", "through Snakemake", "recovered", "lost", "wrong", "hangs"]
    rows = [[*head, "tracebacks", "median seconds"], ["---"] + ["---:"] * (len(head) + 1)]
    groups = [(kind.name, [outcome for outcome in outcomes if outcome.kind == kind.name]) for kind in KINDS]
    rows += [_row(name, group) for name, group in groups if group]
    rows.append(_row("all", outcomes))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(name: str, group: list[Outcome]) -> list[str]:
    counts = [
        len(group),
        sum(outcome.through == "process" for outcome in group),
        sum(outcome.through == "workflow" for outcome in group),
        sum(outcome.recovered for outcome in group),
        sum(outcome.lost for outcome in group),
        sum(outcome.wrong > 0 for outcome in group),
        sum(outcome.hang for outcome in group),
        sum(outcome.traceback for outcome in group),
    ]
    ended = [outcome.seconds for outcome in group if outcome.recovered]
    return [name, *map(str, counts), f"{statistics.median(ended):.1f}" if ended else "-"]


def cures() -> str:
    """Consequence and remedy of every kind of fault, as Markdown."""
    rows = [["fault", "what happens", "what to do"], ["---"] * 3]
    rows += [[kind.name, kind.happens, kind.cure] for kind in KINDS]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write_page(path: Path, outcomes: list[Outcome]) -> None:
    """Write the tables between the markers of the page."""
    before, rest = path.read_text().split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{table(outcomes)}\n\n{cures()}\n{END}{after}")
