"""``phasepipe theory`` and ``phase-diagram``: N to infinity."""

from __future__ import annotations

import json
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from phasepipe.errors import SweepError

if TYPE_CHECKING:
    from phasepipe.physics.losses import Loss

_SMALLEST_ALPHA, _LARGEST_ALPHA = 0.01, 1000.0  # of spectra and states


def theory(
    a: Annotated[float | None, typer.Option(help="Regulariser of the normalised quartic loss.")] = None,
    quartic: Annotated[bool, typer.Option("--quartic", help="The quartic loss, a = infinity.")] = False,
    loss: Annotated[str | None, typer.Option(help="Dotted path of a loss of your own.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Signal-to-noise ratio for spectra and states.")] = None,
    dynamics: Annotated[
        bool, typer.Option("--dynamics", help="Print gradient flow over time instead; needs --alpha.")
    ] = False,
    t_max: Annotated[float | None, typer.Option(help="Last time of --dynamics. [default: 3.2]")] = None,
    samples: Annotated[
        int | None, typer.Option(help="Samples of --dynamics, a power of two. [default: 16384]")
    ] = None,
    accuracy: Annotated[
        float | None, typer.Option(help="Relative error aimed at by --dynamics. [default: 0.03]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Print what is known for N to infinity about a loss: thresholds, spectra, threshold states, dynamics."""
    if (a is not None) + quartic + (loss is not None) != 1:
        raise SweepError("name one loss: --a 0.01, --quartic, or --loss my_losses.Amplitude")
    if dynamics:
        _dynamics(a, loss, alpha, t_max, samples, accuracy, as_json)
        return
    if not t_max is samples is accuracy is None:
        raise SweepError("--t-max, --samples and --accuracy belong to --dynamics; add it or leave them out")
    if alpha is not None and not _SMALLEST_ALPHA <= alpha <= _LARGEST_ALPHA:
        raise SweepError(
            f"--alpha = {alpha:g} lies outside [{_SMALLEST_ALPHA:g}, {_LARGEST_ALPHA:g}], where spectra and "
            "states are computed; take for example --alpha 3"
        )
    from phasepipe.theory.quadrature import ConvergenceError
    from phasepipe.theory.summary import summary

    try:
        entries = summary(_named_loss(a, loss), alpha)
    except (ValueError, ConvergenceError) as error:
        raise SweepError(str(error)) from error
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    table = Table("quantity", "value", title="Theory for N to infinity")
    for name, value in entries.items():
        shown = f"{value:.8g}" if isinstance(value, float) else str(value)
        table.add_row(_readable(name), shown)
    Console().print(table)


def _dynamics(
    a: float | None,
    loss: str | None,
    alpha: float | None,
    t_max: float | None,
    samples: int | None,
    accuracy: float | None,
    as_json: bool,
) -> None:
    """Print gradient flow for N to infinity at a few times; what it warns of goes to standard error."""
    if alpha is None:
        raise SweepError("--dynamics needs a signal-to-noise ratio; add for example --alpha 3")
    from phasepipe.theory.dynamics import dynamics
    from phasepipe.theory.dynamics_summary import dynamics_summary
    from phasepipe.theory.quadrature import ConvergenceError

    console = Console(stderr=True)
    waiting = f"gradient flow for N to infinity at alpha = {alpha:g}: seconds to minutes"
    with (
        warnings.catch_warnings(record=True) as caught,
        console.status(waiting) if console.is_terminal else nullcontext(),
    ):
        warnings.simplefilter("always")
        try:
            found = dynamics(
                _named_loss(a, loss),
                alpha,
                3.2 if t_max is None else t_max,
                samples=2**14 if samples is None else samples,
                accuracy=0.03 if accuracy is None else accuracy,
            )
        except (TypeError, ValueError, ConvergenceError) as error:
            raise SweepError(str(error)) from error
    for note in dict.fromkeys(str(entry.message) for entry in caught):
        console.print(f"phasepipe: {note}", style="yellow", highlight=False, soft_wrap=True)
    entries = dynamics_summary(found)
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
    else:
        _print_dynamics(entries)


def _print_dynamics(entries: dict[str, Any]) -> None:
    from phasepipe.analysis.text import with_error

    def shown(entry: dict[str, Any], name: str, digits: int = 3) -> str:
        value, error = (entry[key] for key in (name, f"{name}_error"))
        return "–" if value is None else with_error(value, float("nan") if error is None else error, digits)

    titles = {
        "energy": "energy per N",
        "mu": "mu",
        "correlation": "C(t, 0)",
        "amplification": "A",
        "overlap_variance": "N E[m²]",
        "edge": "edge",
        "outlier": "outlier",
    }
    table = Table(
        "t", *titles.values(), title=f"Gradient flow for N to infinity, alpha = {entries['alpha']:g}"
    )
    for entry in entries["times"]:
        table.add_row(f"{entry['time']:.3g}", *(shown(entry, name) for name in titles))
    Console().print(table)
    note = entries.get("t_bbp_note")
    typer.echo(f"t_bbp: none, {note}" if note else f"t_bbp = {shown(entries, 't_bbp')}")


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
    from pydantic import ValidationError

    from phasepipe.physics.losses import NormalisedQuartic, Quartic
    from phasepipe.specification.loss import LARGEST_A, SMALLEST_A, CustomLossSpec
    from phasepipe.specification.messages import sentence

    if path is not None:
        try:
            return CustomLossSpec(kind="custom", path=path).trusted().build()
        except ValidationError as error:
            raise SweepError(sentence("--loss", error, CustomLossSpec)) from error
    if a is None:
        return Quartic()
    if not SMALLEST_A <= a <= LARGEST_A:
        raise SweepError(
            f"a = {a:g} lies outside [{SMALLEST_A:g}, {LARGEST_A:g}]; take for example --a 0.01, or "
            "--quartic for a = infinity"
        )
    return NormalisedQuartic(a)


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
