"""What the seed paper states, one row for each claim, with its protocol beside that of our sweeps.

The statements are those of the abstracts of three versions of Bonnaire, Biroli, Cammarota, arXiv:2403.02418:
two titled "From Zero to Hero" (1, 2), and the last, "The role of the time-dependent Hessian in
high-dimensional optimization" (3); the order of the first two is inferred. Only abstracts and public
summaries were at hand: what stands in the text of the paper alone is named as not checked. Our column is read
from the reduced sweeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from study.claims.finding import Sweeps, Tables

# what the abstracts say of the paper's protocol
UNKNOWN = "not checked (not in an abstract)"
THEIRS = {
    "problem": "phase retrieval",
    "limit": "N → ∞ at fixed alpha = M/N; simulations at finite, even very large N",
    "dynamics": "gradient descent; gradient flow in the caption of the authors' summary",
    "loss": UNKNOWN,
    "sphere": UNKNOWN,
    "recovery": UNKNOWN,
    "N and alpha": UNKNOWN,
    "stopping": UNKNOWN,
}


@dataclass(frozen=True)
class Stated:
    """One statement of the paper, the versions whose abstract has it, and our claims that test it."""

    statement: str
    versions: str
    claims: tuple[str, ...]
    measured: str  # what our claims measure of it


STATED = (
    Stated("small alpha: the Hessian carries no information on the signal", "2", ("1",),
           "q_0 of the lowest eigenvector at a random start, against N"),
    Stated("alpha large enough: at the start the Hessian has a negative direction towards the signal",
           "1, 2, 3", ("1",), "q_0 against the theory for N → ∞"),
    Stated("during descent a transition of the spectrum (BBP in 1 and 3, at finite time in 3): it is lost",
           "1, 2, 3", ("2", "8"), "t_BBP of runs that do not recover; t_BBP for N → ∞"),
    Stated("then trapped in bad minima; marginally stable in version 3", "1, 2, 3", ("2", "3"),
           "lowest eigenvalue at the end; states of runs without signal"),
    Stated("finite N: recovery well before the threshold of N → ∞", "1, 2, 3", ("4",),
           "alpha_50(N) against alpha_threshold"),
    Stated("finite N: because the window of negative curvature comes before the trap", "1, 3", ("4",),
           "AUC of |m| at t_BBP for the fate"),
    Stated("strong logarithmic corrections of the threshold at large N", "1", ("4",),
           "forms of the shift: c / log(N / N0), a + b log N, c N^-omega"),
    Stated("the initial condition matters: its spectral properties (1, 2), with early times (3)", "1, 2, 3",
           ("5",), "success of spectral, curvature and warm starts, paired with random ones"),
)  # fmt: skip


def literature(claims: Mapping[str, tuple[str, str, Sequence[str]]], sweeps: Sweeps) -> pd.DataFrame:
    """Table of the statements.

    Parameters
    ----------
    claims
        Link, verdict and names of the sweeps of each claim of the study, by number.
    sweeps
        The reduced sweeps.
    """
    rows = []
    for stated in STATED:
        names = [name for number in stated.claims for name in claims[number][2] if name in sweeps]
        rows.append(
            {
                "statement": stated.statement,
                "abstract of version": stated.versions,
                "measured here": stated.measured,
                "our protocol": protocol([sweeps[name] for name in names]) if names else "not run yet",
                "claim and verdict": "; ".join(
                    f"{claims[number][0]}: {claims[number][1]}" for number in stated.claims
                ),
            }
        )
    return pd.DataFrame(rows)


def protocols(sweeps: Sweeps) -> pd.DataFrame:
    """The paper's protocol, as far as its abstracts give it, beside that of all sweeps of the study."""
    ours = _ours(list(sweeps.values()))
    return pd.DataFrame(
        [{"": what, "arXiv:2403.02418": theirs, "this study": ours[what]} for what, theirs in THEIRS.items()]
    )


def protocol(tables: Sequence[Tables]) -> str:
    """Loss, N and alpha, starts and time of some sweeps, in one line."""
    ours = _ours(tables)
    return "; ".join(ours[what] for what in ("parameter", "N and alpha", "starts", "time"))


def _ours(tables: Sequence[Tables]) -> dict[str, str]:
    asked: list[dict[str, Any]] = [each["counts"].attrs["asked"] for each in tables]
    alphas = [float(alpha) for each in tables for alpha in each["counts"]["alpha"].values]
    sizes = _listed({N for spec in asked for N in spec["N"]})
    time = f"t = {_listed({spec['t_max'] for spec in asked})}"
    kinds = {str(start["kind"]) for spec in asked for start in spec["starts"]}
    losses = {float(spec["loss"].get("a", "inf")) for spec in asked}
    return {
        "problem": "real phase retrieval, y = X w* / sqrt(N), Gaussian X if not said otherwise",
        "limit": "theory for N → ∞, and sweeps at finite N",
        "dynamics": "gradient flow",
        "loss": f"(yhat² - y²)² / (4 (a + y²)), a = {_listed(losses)}",
        "sphere": "the signal's and the point's, radius sqrt(N)",
        "recovery": f"first passage of |m| through {_listed({spec['recovery_threshold'] for spec in asked})}",
        "N and alpha": f"N = {sizes}, alpha = {min(alphas):.3g} to {max(alphas):.3g}",
        "stopping": f"recovered, certified trap, or {time}",
        "parameter": f"a = {_listed(losses)}",
        "starts": f"{', '.join(sorted(kinds))} starts",
        "time": time,
    }


def _listed(values: set[Any]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(map(float, values)))
