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

from phasepipe.analysis.text import with_error
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
from phasepipe.theory.threshold import alpha_threshold
from study.claims.finding import Finding, Part, Sweeps, Verdict, rows_of
from study.claims.medians import FEWEST, measured_medians, printed
from study.claims.medians import SWEEPS as SWEEPS
from study.claims.testing import SIGNIFICANT, holm, signs, simultaneous_quantile, two_sided, within

TABLE = Path(__file__).parents[2] / "results" / "reference" / "dynamics.csv"
ALPHAS = {1.0: (1.5, 2.0, 2.5, 3.0, 3.5, 4.0), 0.01: (2.5, 2.6, 3.0, 3.5)}
LAST = 10.0
SAMPLES, SEEDS, ACCURACY = 2**15, 4, 0.02
AGREEMENT = 0.15  # relative difference of t_BBP that counts as none
SAME_GAIN = 0.1  # of log A: a difference that counts as none

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
        tables["t_BBP, median of the runs that do not recover"] = printed(medians)
    return Finding(parts, _figure(series, gains, medians), caption, tables)


def gains_of(series: pd.DataFrame) -> pd.DataFrame:
    """Amplification in the window and after it, one row per loss and alpha.

    Columns ``a, alpha, t_max, t_bbp, t_bbp_error, ever`` (an outlier exists at some time), ``window,
    window_error`` (log A at t_BBP), ``end, end_error`` (log A at t_max), ``later, later_error`` (their
    difference), ``outlier, outlier_error`` (integral of minus the outlier up to t_BBP, which log A would be
    if the overlap simply grew along the outlier), ``parting, parting_error`` (distance of the outlier from
    the bulk at t_max, less that at half that time; NaN if there is none at both).
    """
    rows = []
    for (a, alpha), at in series.groupby(["a", "alpha"]):
        time, gain = at["time"].to_numpy(), np.log(at["amplification"].to_numpy())
        relative = (at["amplification_error"] / at["amplification"]).to_numpy()
        t_bbp = at["t_bbp"].iloc[0]
        row = {"a": a, "alpha": alpha, "t_max": time[-1], "t_bbp": t_bbp}
        row |= {"t_bbp_error": at["t_bbp_error"].iloc[0], "ever": bool(at["outlier"].notna().any())}
        row |= {"end": gain[-1], "end_error": relative[-1]} | _parting(at)
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


def _parting(at: pd.DataFrame) -> dict[str, float]:
    last = at["time"].iloc[-1]
    ends = at.iloc[[np.abs(at["time"] - last / 2).argmin(), -1]]
    distance = (ends["edge"] - ends["outlier"]).to_numpy()
    errors = ends[["edge_error", "outlier_error"]].to_numpy()
    return {"parting": distance[1] - distance[0], "parting_error": float(np.sqrt((errors**2).sum()))}


def finite(gains: pd.DataFrame) -> Part:
    """Whether the outlier ends at a finite time for N to infinity, at the alphas that were computed."""
    known = gains[gains["ever"]]
    ended = known[np.isfinite(known["t_bbp"])]
    before = ended["t_max"] - ended["t_bbp"]
    holds = signs(before, holm(two_sided(before, ended["t_bbp_error"])))
    if len(ended) < len(known):
        lasting = known[~np.isfinite(known["t_bbp"])]
        leaving = holm(two_sided(lasting["parting"], lasting["parting_error"])) < SIGNIFICANT
        holds = False if (leaving & (lasting["parting"] > 0)).any() else None
    thresholds = {a: alpha_threshold(NormalisedQuartic(a)) for a in known["a"].unique()}
    covered = ", ".join(
        f"at a = {a:g} up to alpha = {known['alpha'][known['a'] == a].max():g} (alpha_threshold {limit:.2f})"
        for a, limit in thresholds.items()
    )
    return Part(
        f"for N to infinity the outlier ceases to exist at a finite time t_BBP; computed {covered}",
        "at every a and alpha computed with an outlier, t_BBP is before the last time computed (p < 0.05 "
        "after Holm); not confirmed if an outlier that still exists then is farther from the bulk than at "
        "half that time (p < 0.05 after Holm); open if it is not, since it may end later",
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
    found = "; ".join(
        f"a = {row.a:g}, alpha = {row.alpha:g}, N = {row.N}: {with_error(row.median, row.error)} from "
        f"{row.runs} runs (design effect {row.design_effect:.1f}), {middle:+.0%} [{below:+.0%}, {above:+.0%}]"
        for row, middle, below, above in zip(rows_of(largest), gap, low, high, strict=True)
    )
    return Part(
        "runs that do not recover lose their outlier at the t_BBP of N to infinity",
        f"at every a and alpha, at the largest N with {FEWEST} such runs, the simultaneous 95 % confidence "
        "interval of the relative difference of the median from t_BBP, with the correlation of the starts of "
        f"an instance, is within ±{AGREEMENT:.0%}; not confirmed if one is outside",
        Verdict.of(within(low, high, AGREEMENT)),
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
    """Whether there is no amplification without an outlier."""
    without = gains[~gains["ever"]]
    reach = simultaneous_quantile(len(without)) * without["end_error"]
    holds = True if len(without) and (without["end"] + reach < SAME_GAIN).all() else None
    return Part(
        "amplification needs an outlier of the Hessian",
        "where no outlier exists at any time, the simultaneous 95 % confidence intervals of log A at the "
        f"last time computed are below {SAME_GAIN:g}; not confirmed if one is above",
        Verdict.of(False if (without["end"] - reach > SAME_GAIN).any() else holds),
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
    gap = known["outlier"] - known["window"]
    reach = simultaneous_quantile(len(known)) * np.hypot(known["outlier_error"], known["window_error"])
    return Part(
        "the amplification in the window is that of growth along the outlier",
        "the simultaneous 95 % confidence intervals of the difference between log A(t_BBP) and the integral "
        f"of minus the outlier up to t_BBP are within ±{SAME_GAIN:g} at every a and alpha; not confirmed if "
        "one is outside",
        Verdict.of(within(gap - reach, gap + reach, SAME_GAIN)),
        "; ".join(
            f"a = {row.a:g}, alpha = {row.alpha:g}: {np.exp(row.outlier):.2f} compared with A = "
            f"{np.exp(row.window):.2f}"
            for row in rows_of(known)
        ),
    )


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


if __name__ == "__main__":
    compute().to_csv(TABLE, index=False, float_format="%.6g")
    print(f"wrote {TABLE}")
