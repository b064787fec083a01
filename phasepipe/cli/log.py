"""``phasepipe log``: which commands have written a sweep."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from phasepipe.errors import SweepError


def log(
    results: Annotated[Path, typer.Argument(help="Folder of a sweep, for example results/demo.")],
) -> None:
    """Show which commands have written a sweep: when, with which code, and what grew."""
    from phasepipe.results.history import read_history
    from phasepipe.store.folder import SweepFolder

    history = read_history(SweepFolder(results))
    if not history:
        raise SweepError(
            f"{results} has no history; it holds no sweep, or one of a version that did not write it"
        )
    commands: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for event in history:
        commands[str(event.get("started")), str(event.get("command"))].append(event)
    table = Table("first written (UTC)", "command", "code", "what it did", title=str(results))
    for (_, command), events in commands.items():
        first = events[0]
        code = f"{first.get('version')} {str(first.get('commit'))[:12]}"
        table.add_row(*map(_plain, (first.get("at"), command, code, "\n".join(_deeds(events)))))
    Console().print(table)


def _deeds(events: list[dict[str, Any]]) -> list[str]:
    """One line for each store of blocks, and one for all tables."""
    lines = []
    for event in events:
        if "sizes" in event:
            sizes, grew = event["sizes"] or {}, event.get("grew") or {}
            parts = [f"{axis} {grew[axis]} -> {size}" for axis, size in sizes.items() if axis in grew]
            parts += [f"{event['computes']} entries computed"] if "computes" in event else []
            lines.append(f"{event.get('store')}: {', '.join(parts)}")
    made = [str(event.get("store")) for event in events if "sizes" not in event]
    return lines + ([f"tables made: {', '.join(dict.fromkeys(made))}"] if made else [])


def _plain(value: object) -> Text:
    """Text without the markup and control characters that a folder of somebody else may contain."""
    return Text("".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in str(value)))
