"""Claim 8: t_BBP for N to infinity, and how much of the amplification falls in the window before it.

The dynamics for N to infinity are kept in ``results/reference/dynamics.csv``, a few minutes on one core;
``python -m study.claims.dynamics`` computes them again.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.analysis.text import with_error, with_interval
from phasepipe.figures.style import (
    CYCLE,
    MARKERS,
    PAGE_WIDTH,
    THEORY,
    new_figure,
    paper_style,
    size_colours,
    size_markers,
)
from phasepipe.physics.losses import NormalisedQuartic
from phasepipe.physics.threads import one_blas_thread
from phasepipe.theory.dynamics import dynamics
from study.claims.finding import Finding, Part, Sweeps, Verdict, available, regulariser, rows_of
from study.claims.testing import holm, signs, simultaneous_quantile, two_sided

SWEEPS = ("scaling-a0.01", "scaling-a1", "window-a0.01", "window-a1", "window-large-a0.01")
TABLE = Path(__file__).parents[2] / "results" / "reference" / "dynamics.csv"
ALPHAS = {1.0: (1.5, 2.0, 2.5, 3.0, 3.5, 4.0), 0.01: (2.5, 2.6, 3.0, 3.5)}
LAST = 10.0
SAMPLES, SEEDS, ACCURACY = 2**15, 4, 0.02
AGREEMENT = 0.15  # relative difference of t_BBP that counts as none
SAME_GAIN = 0.1  # of log A: a difference that counts as none
FEWEST = 20  # runs that a measured median needs

_SERIES = ("energy", "amplification", "overlap_variance", "edge", "outlier")


@one_blas_thread()
def compute() -> pd.DataFrame:
    """Solve the dynamics of all cells; one row per loss, alpha and time, errors as ``<name>_error``."""
    tables = []
    for a, alphas in ALPHAS.items():
        for alpha in alphas:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what was reached is in the table
                found = dynamics(
                    NormalisedQuartic(a), alpha, LAST, samples=SAMPLES, seeds=SEEDS, accuracy=ACCURACY
                )
            columns = {name: found[name].values for base in _SERIES for name in (base, f"{base}_error")}
            tables.append(
                pd.DataFrame({"a": a, "alpha": alpha, "time": found["time"].values} | columns).assign(
                    t_bbp=float(found["t_bbp"]),
                    t_bbp_error=float(found["t_bbp_error"]),
                    accuracy_reached=found.attrs["accuracy_reached"],
                )
            )
    return pd.concat(tables, ignore_index=True)


def assess(sweeps: Sweeps) -> Finding:
    """t_BBP for N to infinity against finite N, and A(t) against what the outlier alone would give."""
    if not TABLE.exists():
        return Finding([])
    series = pd.read_csv(TABLE)
    gains = gains_of(series)
    medians = measured_medians(sweeps, gains)
    parts = [
        finite(gains),
        approached(medians),
        after(gains),
        needs_outlier(gains),
        from_outlier(gains),
    ]
    caption = (
        "Left: t_BBP for N to infinity (line, standard errors) and medians of the runs that do not recover "
        "at finite N, a = 1. Middle and right: amplification A(t) of a small initial overlap for N to "
        "infinity; symbols mark t_BBP, dashed lines are losses and alphas without an outlier at any time."
    )
    tables = {"Dynamics for N to infinity": _printed(gains)}
    if len(medians):
        tables["t_BBP, median of the runs that do not recover"] = _printed_medians(medians)
    return Finding(parts, _figure(series, gains, medians), caption, tables)


def gains_of(series: pd.DataFrame) -> pd.DataFrame:
    """Amplification in the window and after it, one row per loss and alpha.

    Columns ``a, alpha, t_max, t_bbp, t_bbp_error, ever`` (an outlier exists at some time), ``window,
    window_error`` (log A at t_BBP), ``end, end_error`` (log A at t_max), ``later, later_error`` (their
    difference), ``outlier, outlier_error`` (integral of minus the outlier up to t_BBP, which log A would be
    if the overlap simply grew along the outlier).
    """
    rows = []
    for (a, alpha), at in series.groupby(["a", "alpha"]):
        time, gain = at["time"].to_numpy(), np.log(at["amplification"].to_numpy())
        relative = (at["amplification_error"] / at["amplification"]).to_numpy()
        t_bbp = at["t_bbp"].iloc[0]
        row = {"a": a, "alpha": alpha, "t_max": time[-1], "t_bbp": t_bbp}
        row |= {"t_bbp_error": at["t_bbp_error"].iloc[0], "ever": bool(at["outlier"].notna().any())}
        row |= {"end": gain[-1], "end_error": relative[-1]}
        if np.isfinite(t_bbp):
            window, error = np.interp(t_bbp, time, gain), np.interp(t_bbp, time, relative)
            slope = np.interp(t_bbp, time, np.gradient(gain, time))
            error = float(np.hypot(error, slope * row["t_bbp_error"]))
            row |= {"window": window, "window_error": error}
            # errors at both times come from the same samples: adding them is too wide
            row |= {"later": gain[-1] - window, "later_error": np.hypot(error, relative[-1])}
            exists = (time <= t_bbp) & at["outlier"].notna().to_numpy()
            outlier, spread = (at[name].to_numpy()[exists] for name in ("outlier", "outlier_error"))
            row["outlier"] = -np.trapezoid(outlier, time[exists])
            # next to t_bbp not every seed has an outlier, so that there is no error
            spread = np.where(np.isfinite(spread), spread, np.nanmax(spread))
            row["outlier_error"] = np.trapezoid(spread, time[exists])
        rows.append(row)
    columns = ["window", "later", "outlier"]
    return pd.DataFrame(rows).reindex(
        columns=[*rows[0], *[c for name in columns for c in (name, f"{name}_error") if c not in rows[0]]]
    )


def measured_medians(sweeps: Sweeps, gains: pd.DataFrame) -> pd.DataFrame:
    """Median t_BBP of the runs that do not recover, where the limit is known too.

    Columns ``a, alpha, N, runs, median, error, limit, limit_error``. At equal a, alpha and N the sweep with
    more runs counts. The error follows from the quartiles.
    """
    rows = []
    for tables in available(sweeps, SWEEPS, ("window", "counts")).values():
        window = tables["window"].isel(start_group=0).sel(fate="not recovered")
        for limit in rows_of(gains[np.isfinite(gains["t_bbp"]) & (gains["a"] == regulariser(tables))]):
            for N in window["N"].values.tolist():
                # alpha is rounded to whole numbers of measurements
                near = window.sel(N=N).isel(alpha=np.abs(window["alpha"].values - limit.alpha) < 0.51 / N)
                for cell in (near.isel(alpha=index) for index in range(near.sizes["alpha"])):
                    if not float(cell["runs"]) >= FEWEST:
                        continue
                    quartiles = float(cell["t_bbp_upper"] - cell["t_bbp_lower"])
                    rows.append(
                        {
                            "a": limit.a,
                            "alpha": limit.alpha,
                            "N": N,
                            "runs": int(cell["runs"]),
                            "median": float(cell["t_bbp_median"]),
                            "error": 0.93 * quartiles / np.sqrt(float(cell["runs"])),
                            "limit": limit.t_bbp,
                            "limit_error": limit.t_bbp_error,
                        }
                    )
    columns = ["a", "alpha", "N", "runs", "median", "error", "limit", "limit_error"]
    table = pd.DataFrame(rows, columns=columns).sort_values(["a", "alpha", "N", "runs"])
    return table.drop_duplicates(["a", "alpha", "N"], keep="last", ignore_index=True)


def finite(gains: pd.DataFrame) -> Part:
    """Whether the outlier ends at a finite time for N to infinity."""
    known = gains[gains["ever"]]
    before = known["t_max"] - known["t_bbp"]
    holds = signs(before, holm(two_sided(before, known["t_bbp_error"])))
    if np.isinf(known["t_bbp"]).any():
        holds = False
    return Part(
        "for N to infinity the outlier ceases to exist at a finite time t_BBP",
        "at every a and alpha with an outlier, t_BBP is before the last time computed (p < 0.05 after Holm); "
        "not confirmed if the outlier still exists then",
        Verdict.of(holds),
        "; ".join(
            f"a = {row.a:g}, alpha = {row.alpha:g}: {with_error(row.t_bbp, row.t_bbp_error)}"
            for row in rows_of(known)
        ),
    )


def approached(medians: pd.DataFrame) -> Part:
    """Whether finite-N medians of t_BBP are near the limit."""
    largest = medians.sort_values("N").groupby(["a", "alpha"]).tail(1).sort_values(["a", "alpha"])
    gap = (largest["median"] - largest["limit"]) / largest["limit"]
    reach = simultaneous_quantile(len(largest)) * np.hypot(largest["error"], largest["limit_error"])
    low, high = gap - reach / largest["limit"], gap + reach / largest["limit"]
    inside = (low > -AGREEMENT) & (high < AGREEMENT)
    outside = (low > AGREEMENT) | (high < -AGREEMENT)
    holds = (False if outside.any() else (True if inside.all() else None)) if len(largest) else None
    found = "; ".join(
        f"a = {row.a:g}, alpha = {row.alpha:g}, N = {row.N}: {with_error(row.median, row.error)} from "
        f"{row.runs} runs, {middle:+.0%} [{below:+.0%}, {above:+.0%}]"
        for row, middle, below, above in zip(rows_of(largest), gap, low, high, strict=True)
    )
    return Part(
        "runs that do not recover lose their outlier at the t_BBP of N to infinity",
        f"at every a and alpha, at the largest N with {FEWEST} such runs, the simultaneous 95 % confidence "
        f"interval of the relative difference of the median from t_BBP is within ±{AGREEMENT:.0%}; not "
        "confirmed if one is outside",
        Verdict.of(holds),
        found or "no common a and alpha",
    )


def after(gains: pd.DataFrame) -> Part:
    """Whether overlaps still grow after t_BBP."""
    known = gains[np.isfinite(gains["t_bbp"])]
    adjusted = holm(two_sided(known["later"], known["later_error"]))
    return Part(
        "amplification of the overlap ends with the window",
        "at every a and alpha, A at the last time computed is not larger than A(t_BBP); confirmed if it is "
        "smaller everywhere, not confirmed if it is larger anywhere (p < 0.05 after Holm)",
        Verdict.of(signs(-known["later"], adjusted)),
        "; ".join(
            f"a = {row.a:g}, alpha = {row.alpha:g}: A = {np.exp(row.window):.2f} at t_BBP = {row.t_bbp:.2f}, "
            f"{np.exp(row.end):.2f} at t = {row.t_max:g}"
            for row in rows_of(known)
        ),
    )


def needs_outlier(gains: pd.DataFrame) -> Part:
    """Whether there is amplification without an outlier."""
    without = gains[~gains["ever"]]
    adjusted = holm(two_sided(without["end"], without["end_error"]))
    return Part(
        "amplification needs an outlier of the Hessian",
        f"where no outlier exists at any time, log A at the last time computed is within ±{SAME_GAIN:g} (95 "
        "% confidence interval); not confirmed if A is larger than 1 (p < 0.05 after Holm)",
        Verdict.of(_equal_zero(without["end"], without["end_error"], adjusted)),
        "; ".join(
            f"a = {row.a:g}, alpha = {row.alpha:g}: A = {np.exp(row.end):.2f} ± "
            f"{np.exp(row.end) * row.end_error:.2f} at t = {row.t_max:g}"
            for row in rows_of(without)
        )
        or "an outlier exists in every case that was computed",
    )


def from_outlier(gains: pd.DataFrame) -> Part:
    """Whether A(t_BBP) is what growth along the outlier would give."""
    known = gains[np.isfinite(gains["t_bbp"])]
    gap, error = known["outlier"] - known["window"], np.hypot(known["outlier_error"], known["window_error"])
    adjusted = holm(two_sided(gap, error))
    return Part(
        "the amplification in the window is that of growth along the outlier",
        "log A(t_BBP) equals the integral of minus the outlier up to t_BBP within "
        f"±{SAME_GAIN:g} at every a and alpha (95 % confidence intervals); not confirmed if they differ "
        "anywhere (p < 0.05 after Holm)",
        Verdict.of(_equal_zero(gap, error, adjusted)),
        "; ".join(
            f"a = {row.a:g}, alpha = {row.alpha:g}: {np.exp(row.outlier):.2f} compared with A = "
            f"{np.exp(row.window):.2f}"
            for row in rows_of(known)
        ),
    )


def _equal_zero(gap: pd.Series, error: pd.Series, adjusted: np.ndarray) -> bool | None:
    """False if a gap is too large and significant, True if all are small within their intervals."""
    if not len(gap):
        return None
    reach = simultaneous_quantile(len(gap)) * error
    if ((adjusted < 0.05) & (np.abs(gap) > SAME_GAIN)).any():
        return False
    return True if (np.abs(gap) + reach < SAME_GAIN).all() else None


@paper_style()
def _figure(series: pd.DataFrame, gains: pd.DataFrame, medians: pd.DataFrame) -> Figure:
    figure = new_figure(PAGE_WIDTH, 0.36)
    left, middle, right = figure.subplots(1, 3)
    limit = gains[(gains["a"] == 1) & np.isfinite(gains["t_bbp"])]
    left.errorbar(limit["alpha"], limit["t_bbp"], limit["t_bbp_error"], label="N → ∞", **THEORY)
    at = medians[medians["a"] == 1]
    colours, markers = size_colours(at["N"].tolist()), size_markers(at["N"].tolist())
    for N, of_size in at.groupby("N"):
        left.errorbar(
            of_size["alpha"], of_size["median"], of_size["error"], fmt=markers[N], color=colours[N],  # type: ignore[index]
            elinewidth=0.7, label=f"N = {N}",
        )  # fmt: skip
    left.set(xlabel="α = M/N", ylabel="$t_{BBP}$")
    left.set_title("a = 1", loc="left")
    left.set_ylim(bottom=0)
    left.legend(fontsize=6)
    for axes, a in ((middle, 1.0), (right, 0.01)):
        _draw_growth(axes, series[series["a"] == a], gains[gains["a"] == a])
        axes.set_title(f"a = {a:g}", loc="left")
    return figure


def _draw_growth(axes: Axes, series: pd.DataFrame, gains: pd.DataFrame) -> None:
    for row, colour, marker in _looks(gains):
        at = series[(series["alpha"] == row.alpha) & (series["time"] > 0)]
        axes.plot(
            at["time"],
            at["amplification"],
            "-" if row.ever else "--",
            color=colour,
            label=f"α = {row.alpha:g}",
        )
        if np.isfinite(row.t_bbp):
            axes.plot(row.t_bbp, np.exp(row.window), marker, color=colour)
    axes.set(xscale="log", yscale="log", xlabel="time t", ylabel="amplification A(t)")
    axes.set_xlim(left=0.01)
    axes.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    axes.minorticks_off()
    axes.legend(fontsize=6)


def _looks(gains: pd.DataFrame) -> Iterator[tuple[Any, str, str]]:
    for index, row in enumerate(rows_of(gains)):
        yield row, CYCLE[index % len(CYCLE)], MARKERS[index % len(MARKERS)]


def _printed(gains: pd.DataFrame) -> pd.DataFrame:
    def amplified(name: str) -> list[str]:
        return [
            with_error(np.exp(gain), np.exp(gain) * error, 2)
            for gain, error in gains[[name, f"{name}_error"]].to_numpy()
        ]

    return pd.DataFrame(
        {
            "a": gains["a"].map("{:g}".format),
            "alpha": gains["alpha"].map("{:g}".format),
            "t_BBP": [with_error(*row) for row in gains[["t_bbp", "t_bbp_error"]].to_numpy()],
            "A(t_BBP)": amplified("window"),
            "exp ∫ −outlier dt": amplified("outlier"),
            "last time": gains["t_max"].map("{:g}".format),
            "A at the last time": amplified("end"),
        }
    )


def _printed_medians(medians: pd.DataFrame) -> pd.DataFrame:
    ends = [
        with_interval(row.median, row.median - 1.96 * row.error, row.median + 1.96 * row.error, 2)
        for row in rows_of(medians)
    ]
    return pd.DataFrame(
        {
            "a": medians["a"].map("{:g}".format),
            "alpha": medians["alpha"].map("{:g}".format),
            "N": medians["N"],
            "runs": medians["runs"],
            "median [95 %]": ends,
            "N → ∞": [with_error(row.limit, row.limit_error, 2) for row in rows_of(medians)],
        }
    )


if __name__ == "__main__":
    compute().to_csv(TABLE, index=False, float_format="%.6g")
    print(f"wrote {TABLE}")
