"""``phasepipe theory`` and ``phase-diagram``: N to infinity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from phasepipe.errors import SweepError

if TYPE_CHECKING:
    from phasepipe.physics.losses import Loss


def theory(
    a: Annotated[float | None, typer.Option(help="Regulariser of the normalised quartic loss.")] = None,
    quartic: Annotated[bool, typer.Option("--quartic", help="The quartic loss, a = infinity.")] = False,
    loss: Annotated[str | None, typer.Option(help="Dotted path of a loss of your own.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Signal-to-noise ratio for spectra and states.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Print what is known for N to infinity about a loss: thresholds, threshold states, spectra."""
    from phasepipe.theory.summary import summary

    if (a is not None) + quartic + (loss is not None) != 1:
        raise SweepError("name one loss: --a 0.01, --quartic, or --loss my_losses.Amplitude")
    try:
        entries = summary(_named_loss(a, loss), alpha)
    except ValueError as error:
        raise SweepError(str(error)) from error
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    table = Table("quantity", "value", title="Theory for N to infinity")
    for name, value in entries.items():
        shown = f"{value:.8g}" if isinstance(value, float) else str(value)
        table.add_row(_readable(name), shown)
    Console().print(table)


# what the names of the JSON output abbreviate
READABLE = {
    "alpha_threshold": "alpha threshold of the literature (1RSB)",
    "alpha_most_numerous": "alpha where the most numerous marginal minima turn unstable",
    "alpha_lowest": "alpha where the lowest marginal minima turn unstable",
    "alpha_trivialisation": "alpha beyond which there are no stable minima",
    "threshold_energy": "energy of the 1RSB states",
    "threshold_complexity": "complexity of the 1RSB states (negative: none)",
    "marginal_energy_lowest": "energy of the lowest marginal minima (complexity 0)",
    "marginal_energy_most_numerous": "energy of the most numerous marginal minima",
    "marginal_complexity": "complexity of the most numerous marginal minima",
}


def _readable(name: str) -> str:
    """An entry of the theory in words; a note is named after its entry."""
    entry, note = name.removesuffix("_note"), name.endswith("_note")
    words = READABLE.get(entry, entry.replace("_", " "))
    return f"{words}: note" if note else words


def _named_loss(a: float | None, path: str | None) -> Loss:
    from phasepipe.physics.losses import NormalisedQuartic, Quartic
    from phasepipe.specification.loss import CustomLossSpec

    if path is not None:
        return CustomLossSpec(kind="custom", path=path).build()
    return Quartic() if a is None else NormalisedQuartic(a)


def phase_diagram(
    to: Annotated[Path, typer.Option(help="Folder for the figure and the numbers.")],
    points: Annotated[int, typer.Option(help="Values of a, from 0.001 to 100.")] = 61,
    flow: Annotated[
        Path | None, typer.Option(help="CSV file of measured thresholds: columns a, alpha_flow, error.")
    ] = None,
) -> None:
    """Draw the thresholds of the normalised quartic losses against a: at random starts, and of the traps."""
    from phasepipe.stages.phase_diagram import draw_phase_diagram

    try:
        draw_phase_diagram(to, points, flow)
    except OSError as error:
        raise SweepError(f"--to = {to} cannot be written: {error.strerror}") from error
    typer.echo(f"{to / 'phase_diagram.png'}, .svg, .pdf and .csv are written")
