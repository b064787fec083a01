"""Everything the theory says about a loss, as plain numbers for a table or JSON."""

from __future__ import annotations

from phasepipe.physics.losses import Loss
from phasepipe.physics.spectral_weight import optimal_weight
from phasepipe.theory.initial import initial_spectrum, initial_transition
from phasepipe.theory.landscape import marginal_minima, threshold_band, trivialisation
from phasepipe.theory.line import ThresholdLine
from phasepipe.theory.quadrature import ConvergenceError
from phasepipe.theory.spectral import YARDSTICKS, spectral_start
from phasepipe.theory.threshold import ThresholdStates, states_on, threshold_outlier, transition_on

Entry = float | str | bool | None


def summary(loss: Loss, alpha: float | None = None) -> dict[str, Entry]:
    """Thresholds of a loss, and its spectra and threshold states at one alpha.

    What does not exist for this loss or alpha is None, and the entry of the same name with ``_note`` says
    why.

    Parameters
    ----------
    loss
        Any loss that is even in both arguments.
    alpha
        Measurements per dimension at which states and spectra are wanted; without it, those at
        ``alpha_threshold``.

    Returns
    -------
    dict
        Plain numbers, strings, booleans and None, ready for JSON. Energies are per dimension.
    """
    line = ThresholdLine(loss)
    entries = thresholds(line)
    if alpha is not None:
        return entries | at_alpha(line, alpha)
    if entries["alpha_threshold"] is not None:
        entries |= _states(transition_on(line))
    return entries


def thresholds(line: ThresholdLine) -> dict[str, Entry]:
    """The thresholds of a loss, and the yardsticks that no loss can beat; entries as in :func:`summary`.

    The line of its threshold states carries the loss, and what one call finds saves the next ones time.
    """
    entries: dict[str, Entry] = {}
    try:
        initial = initial_transition(line.loss)
        entries |= {
            "alpha_init": initial.alpha,
            "alpha_init_branch": initial.branch,
            "alpha_init_overlap": initial.overlap,
            "alpha_init_error": initial.error,
        }
    except (ValueError, ConvergenceError) as problem:
        entries |= {"alpha_init": None, "alpha_init_note": str(problem)}
    try:
        transition = transition_on(line)
        entries |= {
            "alpha_threshold": transition.alpha,
            "alpha_threshold_error": transition.alpha * transition.relative_error,
        }
    except (ValueError, ConvergenceError) as problem:
        entries |= {"alpha_threshold": None, "alpha_threshold_note": str(problem)}
    return entries | _landscape(line.loss) | {f"alpha_{name}": value for name, value in YARDSTICKS.items()}


def at_alpha(line: ThresholdLine, alpha: float) -> dict[str, Entry]:
    """Spectra and threshold states of a loss at one alpha; entries as in :func:`summary`.

    The line is that of :func:`thresholds`.
    """
    entries: dict[str, Entry] = {"alpha": alpha}
    try:
        spectrum = initial_spectrum(line.loss, alpha)
        entries |= {
            "initial_mu": spectrum.mu,
            "initial_edge": spectrum.edge,
            "initial_outlier": spectrum.outlier if spectrum.overlap > 0 else None,
            "initial_overlap": spectrum.overlap,
        }
    except (ValueError, ConvergenceError) as problem:
        entries |= {"initial_edge": None, "initial_edge_note": str(problem)}
    try:
        states = states_on(line, alpha)
        outlier = threshold_outlier(states)
        entries |= _states(states)
        entries |= {
            "threshold_outlier": outlier.eigenvalue if states.has_outlier else None,
            "threshold_overlap": outlier.overlap,
        }
    except (ValueError, ConvergenceError) as problem:
        entries |= {"threshold_energy": None, "threshold_energy_note": str(problem)}
    entries |= _marginal_minima(line.loss, alpha)
    return entries | {"spectral_start_overlap": spectral_start(optimal_weight, alpha).overlap}


def _landscape(loss: Loss) -> dict[str, Entry]:
    """Where the marginal minima that exist become unstable, and where minima cease to exist."""
    entries: dict[str, Entry] = {}
    try:
        band = threshold_band(loss)
        entries |= {
            "alpha_most_numerous": band.alpha_most_numerous,
            "alpha_lowest": band.alpha_lowest,
        }
    except (ValueError, ConvergenceError) as problem:
        for name in ("alpha_most_numerous", "alpha_lowest"):
            entries |= {name: None, f"{name}_note": str(problem)}
    try:
        entries["alpha_trivialisation"] = trivialisation(loss).alpha
    except (ValueError, ConvergenceError) as problem:
        entries |= {"alpha_trivialisation": None, "alpha_trivialisation_note": str(problem)}
    return entries


def _marginal_minima(loss: Loss, alpha: float) -> dict[str, Entry]:
    """Energies of the marginal minima that exist, and how many the most numerous are."""
    try:
        minima = marginal_minima(loss, alpha)
    except (ValueError, ConvergenceError) as problem:
        names = ("marginal_energy_lowest", "marginal_energy_most_numerous", "marginal_complexity")
        return {
            entry: value for name in names for entry, value in ((name, None), (f"{name}_note", str(problem)))
        }
    return {
        "marginal_energy_lowest": minima.lowest.energy,
        "marginal_energy_most_numerous": minima.most_numerous.energy,
        "marginal_complexity": minima.most_numerous.complexity,
    }


def _states(states: ThresholdStates) -> dict[str, Entry]:
    return {
        "threshold_chi": states.chi,
        "threshold_x": states.x,
        "threshold_energy": states.energy,
        "threshold_complexity": states.complexity,
        "threshold_mu": states.mu,
        "threshold_gap": states.gap,
        "threshold_relative_error": states.relative_error,
    }
