"""Success at finite N and alpha_50, predicted from the dynamics for N to infinity, as tables.

They are kept in ``results/reference``: ``half-size.csv`` holds the dimension at which half of the starts
recover, by loss, alpha and time budget; ``predicted.csv`` and ``predicted-alpha50.csv`` follow from it, the
probability of every cell that was run and alpha_50 up to N = 10^8. ``python -m study.predictions`` computes
what is missing and writes all three; no run decides a prediction.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasepipe.analysis.predicted import half_size_between, predicted_alpha_50
from phasepipe.physics.losses import NormalisedQuartic
from phasepipe.physics.threads import one_blas_thread
from phasepipe.theory.warm_starts import success_at, warm_starts
from study.claims.finding import Sweeps, available, regulariser
from study.claims.testing import simultaneous_quantile

Floats = NDArray[np.float64]

SWEEPS = ("scaling-a0.01", "scaling-a1", "large-a0.01", "large-a1")
REFERENCE = Path(__file__).parents[1] / "results" / "reference"
HALF_SIZES, SUCCESS, ALPHA_50 = "half-size.csv", "predicted.csv", "predicted-alpha50.csv"
ALPHAS = {
    1.0: (2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75, 4.0, 4.25, 4.5, 5.0, 6.0, 7.0),
    0.01: (2.0, 2.25, 2.5, 2.75, 3.0),
}
# at a = 0.01, alpha = 2.5 and t = 100 a quarter of the samples gives two thirds of the half size
SAMPLES = {1.0: 2**14, 0.01: 2**16}
BUDGETS = 10 ** np.linspace(0, 2, 9)
HORIZON, ACCURACY, SEEDS = 101.0, 0.03, 2
SIZES = (*(64 << power for power in range(21)), 10**8)
DRAWN = (10.0, 10**1.5, 100.0)
ROUNDED = 2e-3  # alpha = M / N may differ by this from the alpha asked for


@one_blas_thread()
def compute(cells: dict[float, tuple[float, ...]]) -> pd.DataFrame:
    """Half sizes of all cells, one row per loss, alpha and budget that the warm starts cover.

    Columns ``a, alpha, budget, critical_overlap, start_variance, half_size, log_spread, seeds, samples``;
    ``log_spread`` is the standard deviation of ``log(half_size)`` over seeds.
    """
    rows = []
    for a, alphas in cells.items():
        for alpha in alphas:
            known = warm_starts(NormalisedQuartic(a), alpha, HORIZON, ACCURACY, SAMPLES[a], SEEDS)
            for budget in BUDGETS.tolist():
                overlaps, variances = known.critical(budget)
                logs = np.log(known.half_size(budget))
                if np.isfinite(logs).all():
                    row = {"a": a, "alpha": alpha, "budget": budget}
                    row |= {"critical_overlap": overlaps.mean(), "start_variance": variances.mean()}
                    row |= {"half_size": np.exp(logs.mean()), "log_spread": logs.std(ddof=1)}
                    rows.append(row | {"seeds": len(logs), "samples": SAMPLES[a]})
    return pd.DataFrame(rows)


def with_errors(half_sizes: pd.DataFrame) -> pd.DataFrame:
    """Add ``log_error``, the standard error of ``log(half_size)``.

    Two seeds say little about their spread, so it is pooled over the alphas of a loss at each budget. The
    accuracy of the time steps is that of the critical overlap, and counts twice.
    """
    pooled = half_sizes.groupby(["a", "budget"])["log_spread"].transform(lambda s: np.sqrt((s**2).mean()))
    return half_sizes.assign(log_error=np.hypot(pooled / np.sqrt(half_sizes["seeds"]), 2 * ACCURACY))


def cells_of(sweeps: Sweeps, half_sizes: pd.DataFrame) -> pd.DataFrame:
    """Measured and predicted P of every cell whose budget lies in the range computed.

    Columns ``a, alpha, N, budget, p, error`` (predicted), ``measured, measured_error`` (half the 95 %
    interval, as one standard error), ``measured_variance`` (binomial, times the design effect; 0 if no run
    or every run recovered). Half sizes are interpolated in alpha, because M / N is rounded and other alphas
    may have been run.
    """
    known = with_errors(half_sizes)
    rows = []
    for tables in available(sweeps, SWEEPS, ("counts", "success")).values():
        a = regulariser(tables)
        success = tables["success"].isel(start_group=0)
        for budget in success["budget"].values.tolist():
            at = known[(known["a"] == a) & np.isclose(known["budget"], budget, rtol=1e-3)]
            if len(at) < 2:
                continue
            measured = success.sel(budget=budget)
            for N in success["N"].values.tolist():
                of_size = measured.sel(N=N)
                of_size = of_size.isel(alpha=np.flatnonzero(of_size["n"].values > 0))
                alpha = of_size["alpha"].values
                half, log_error = _interpolated(at, alpha)
                p = success_at(N, half)
                error = np.abs(success_at(N, half * np.exp(log_error)) - p)
                spread = (of_size["upper"] - of_size["lower"]).values / (2 * simultaneous_quantile(1))
                table = {"a": a, "alpha": alpha, "N": N, "budget": budget, "p": p, "error": error}
                shares, effective = of_size["p"].values, of_size["n"].values / of_size["design_effect"].values
                table |= {"measured": shares, "measured_error": spread}
                table |= {"measured_variance": shares * (1 - shares) / effective}
                rows.append(pd.DataFrame(table))
    columns = ["a", "alpha", "N", "budget", "p", "error"]
    columns += ["measured", "measured_error", "measured_variance"]
    found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns, dtype=float)
    return found[np.isfinite(found["p"])].sort_values(columns[:4], ignore_index=True)


def _interpolated(at: pd.DataFrame, alpha: Floats) -> tuple[Floats, Floats]:
    """Half size and the error of its logarithm at these alphas; NaN outside those of ``at``."""
    at = at.sort_values("alpha")
    known = at["alpha"].to_numpy()
    rounded = known[np.argmin(np.abs(known[:, None] - alpha), axis=0)]
    near = np.where(np.abs(rounded - alpha) < ROUNDED, rounded, alpha)
    error = np.interp(near, known, at["log_error"].to_numpy())
    return half_size_between(near, known, at["half_size"]), error


def alpha_50_of(half_sizes: pd.DataFrame) -> pd.DataFrame:
    """Predicted alpha_50, columns ``a, N, budget, alpha_50, error``; no row where it is unknown."""
    rows = []
    for (a, budget), at in with_errors(half_sizes).groupby(["a", "budget"]):
        if not np.isclose(budget, DRAWN, rtol=1e-3).any():
            continue
        alpha, half = at["alpha"].to_numpy(), at["half_size"].to_numpy()
        found = predicted_alpha_50(SIZES, alpha, half)
        error = np.interp(found, alpha, at["log_error"].to_numpy())
        lower, upper = (
            predicted_alpha_50(np.array(SIZES) * np.exp(sign * error), alpha, half) for sign in (-1, 1)
        )
        reach = np.nanmax([upper - found, found - lower, np.zeros(len(SIZES))], axis=0)
        rows.append(pd.DataFrame({"a": a, "N": SIZES, "budget": budget, "alpha_50": found, "error": reach}))
    return pd.concat(rows, ignore_index=True).dropna(ignore_index=True)


def write(reference: Path = REFERENCE) -> None:
    """Compute missing half sizes, and write all three tables."""
    from study.page import read_reduced  # which imports this module

    path = reference / HALF_SIZES
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["a", "alpha"], dtype=float)
    for a, alphas in ALPHAS.items():
        for alpha in alphas:
            if not ((known["a"] == a) & np.isclose(known["alpha"], alpha)).any():
                known = pd.concat([known, compute({a: (alpha,)})], ignore_index=True)
                known = known.sort_values(["a", "alpha", "budget"], ignore_index=True)
                known.to_csv(path, index=False, float_format="%.6g")
                print(f"computed a = {a:g}, alpha = {alpha:g}", flush=True)
    stored = pd.read_csv(path)
    predicted = cells_of(read_reduced(reference), stored)[["a", "alpha", "N", "budget", "p", "error"]]
    predicted.to_csv(reference / SUCCESS, index=False, float_format="%.6g")
    alpha_50_of(stored).to_csv(reference / ALPHA_50, index=False, float_format="%.6g")
    print(f"wrote {HALF_SIZES}, {SUCCESS} and {ALPHA_50} in {reference}")


if __name__ == "__main__":
    write()
