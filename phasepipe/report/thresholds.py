"""The thresholds for N to infinity as sentences: of the theory, and the one that the descent meets."""

from __future__ import annotations

import numpy as np
import xarray as xr

from phasepipe.analysis.text import enumerated, interval, number, with_error

YARDSTICKS = {
    "alpha_weak_recovery": "weak recovery is possible in principle",
    "alpha_information_theoretic": "full recovery is possible in principle",
    "alpha_approximate_message_passing": "approximate message passing achieves full recovery",
}


def theory_sentences(theory: xr.Dataset) -> list[str]:
    """Thresholds for N to infinity, or the reason why one is missing."""
    lines = [
        _one(
            theory,
            "alpha_init",
            "For N to infinity, the Hessian at a random start has an outlier towards the signal above {}.",
        )
    ]
    most_numerous, lowest = float(theory["alpha_most_numerous"]), float(theory["alpha_lowest"])
    if np.isfinite(most_numerous) and np.isfinite(lowest):
        lines.append(
            "The traps of the descent are marginal minima. They become unstable towards the signal between "
            f"alpha = {most_numerous:.4f} (the most numerous) and {lowest:.4f} (those of lowest energy)."
        )
    else:
        unknown = "alpha_most_numerous" if np.isnan(most_numerous) else "alpha_lowest"
        lines.append(
            "Where marginal minima become unstable towards the signal is not known: "
            f"{_note(theory, unknown)}."
        )
    lines += [
        _one(theory, "alpha_trivialisation", "No stable minimum of overlap 0 exists above {}."),
        _one(
            theory,
            "alpha_threshold",
            "The threshold of the literature, from one step of replica symmetry breaking (1RSB), is {}.",
        ),
    ]
    known = [f"{what} above alpha = {float(theory[name]):.4g}" for name, what in YARDSTICKS.items()]
    return [*lines, f"For comparison: {enumerated(known)}."]


def _one(theory: xr.Dataset, name: str, sentence: str) -> str:
    value = float(theory[name])
    if np.isfinite(value):
        return sentence.format(f"{name} = {value:.4f}")
    return f"{name} is not known: {_note(theory, name)}."


def _note(theory: xr.Dataset, name: str) -> str:
    return str(theory[name].attrs.get("note", "no reason was stored"))


def threshold_caveat(theory: xr.Dataset) -> str:
    """What is wrong with alpha_threshold: how many of its states exist, and the band to use instead."""
    sigma = theory["threshold_complexity"].dropna("alpha")
    if not sigma.size:
        return (
            "alpha_threshold is that of the 1RSB states, and how many of them exist at the alphas of this "
            "sweep is not known (docs/explanation/landscape.md)."
        )
    low, high = float(sigma.min()), float(sigma.max())
    at = f"alpha = {interval(float(sigma['alpha'].min()), float(sigma['alpha'].max()))}"
    if sigma.size == 1:
        at = f"alpha = {float(sigma['alpha'][0]):.3f}"
    values = number(low, 4) if sigma.size == 1 or low == high else interval(low, high, 4)
    if high >= 0:
        return (
            "The complexity per dimension of the 1RSB states, which define alpha_threshold, is "
            f"{values} at {at} (docs/explanation/landscape.md)."
        )
    sentence = (
        "The 1RSB states, which define alpha_threshold, typically do not exist: their complexity per "
        f"dimension is {values} at {at}"
    )
    band = float(theory["alpha_most_numerous"]), float(theory["alpha_lowest"])
    if np.isfinite(band).all():
        sentence += f". Take the band of the marginal minima that exist instead, alpha = {interval(*band)}"
    return f"{sentence} (docs/explanation/landscape.md)."


def flow_sentences(flow: xr.Dataset) -> list[str]:
    """The threshold that gradient flow meets, or why it is not known."""
    sentences = []
    for N in flow["N"].values:
        at = flow.sel(N=N)
        if np.isfinite(at["crossing"]):
            sentences.append(
                "The states in which runs end turn unstable towards a signal at "
                f"alpha = {_with_error(at, 'crossing')} at N = {N}."
            )
    if np.isfinite(flow["alpha_flow"]):
        parts = {
            "statistics": "alpha_flow_statistical",
            "the extrapolation in N": "alpha_flow_size",
            "that in time": "alpha_flow_time",
        }
        shares = enumerated(f"{float(flow[name]):.2f} from {what}" for what, name in parts.items())
        sentences.append(
            f"For N to infinity, alpha_flow = {_with_error(flow, 'alpha_flow')} ({shares}); without "
            f"extrapolation in time it is {_with_error(flow, 'alpha_flow_end')}."
        )
    elif np.isfinite(flow["alpha_flow_end"]):
        sentences.append(
            "For N to infinity, and without extrapolation in time, they do so at "
            f"alpha = {_with_error(flow, 'alpha_flow_end')}."
        )
    else:
        sentences.append("alpha_flow, the limit for N to infinity, is not known.")
    note = str(flow["note"].item())
    return [*sentences, f"Notes: {note}."] if note else sentences


def _with_error(table: xr.Dataset, name: str) -> str:
    return with_error(float(table[name]), float(table[f"{name}_error"]), 2)
