"""The results of a sweep as sentences; all numbers are read from the stores."""

from __future__ import annotations

import numpy as np
import xarray as xr

from phasepipe.analysis.mixed import most_mixed, share_recovered
from phasepipe.analysis.text import enumerated, interval, number
from phasepipe.physics.outcomes import Outcome
from phasepipe.report.thresholds import threshold_caveat
from phasepipe.specification.dynamics import FlowSpec
from phasepipe.specification.loss import describe_loss
from phasepipe.specification.start_groups import StartGroup, start_groups
from phasepipe.specification.sweep import Sweep

# share of undecided runs, and rise of P over the last decade of time, above which the report adds a caveat
UNDECIDED, STILL_RISING = 0.05, 0.05
EARLY = {
    "initial_overlap": "|m| at t = 0",
    "overlap": "|m| at the median t_BBP",
    "outlier_overlap": "the predicted overlap of the outlier at the median t_BBP",
}


def setting(sweep: Sweep) -> list[str]:
    """What was run."""
    alphas = sorted({M / N for N in sweep.N for M in sweep.measurements(N)})
    counts = sorted({count for N in sweep.N for count in sweep.instances_at(N).values()})
    instances = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    starts = enumerated(
        [
            f"{start.count} {group.name}"
            for start, group in zip(sweep.starts, start_groups(sweep), strict=True)
        ]
    )
    how = (
        f"gradient flow (relative tolerance {sweep.dynamics.relative_tolerance:g} per step)"
        if isinstance(sweep.dynamics, FlowSpec)
        else f"gradient descent (learning rate {sweep.dynamics.learning_rate:g})"
    )
    sentences = [
        f"{describe_loss(sweep.loss)[0].upper()}{describe_loss(sweep.loss)[1:]}, minimised by {how} on the "
        f"sphere up to t = {sweep.t_max:g} in {sweep.dtype}.",
        f"N = {enumerated([str(N) for N in sorted(sweep.N)])}; {len(alphas)} values of alpha "
        f"from {alphas[0]:.3g} to {alphas[-1]:.3g}; {instances} instances per alpha, each with {starts}.",
        f"A run recovers when |m| exceeds {sweep.recovery_threshold:g}. It is trapped when a certificate "
        "shows that it cannot leave the neighbourhood of a minimum. Otherwise it is undecided at the end of "
        "the time budget.",
    ]
    if sweep.zero_signal:
        sentences.append(
            "Control: the labels are independent of the sensing matrix, so there is no signal to recover."
        )
    return sentences


def fates(runs: dict[int, xr.Dataset]) -> str:
    """Number of runs, and the share of each outcome."""
    outcomes = np.concatenate([data["outcome"].values.ravel() for data in runs.values()])
    total = int((outcomes != Outcome.PENDING).sum())
    shares = [
        f"{(outcomes == fate).sum() / total:.1%} {fate.name.lower()}"
        for fate in Outcome
        if fate is not Outcome.PENDING and (outcomes == fate).any()
    ]
    return f"{total:,} runs: {', '.join(shares)}."


def half_recovery(scaling: xr.Dataset) -> list[str]:
    """alpha_50 of every N for one kind of start."""
    if "alpha_50" not in scaling:
        return [f"alpha_50 could not be estimated: {words(scaling, 'notes')}."]
    sentences = []
    for N in scaling["N"].values:
        at = scaling.sel(N=N)
        value, low, high = (float(at[f"alpha_50{end}"]) for end in ("", "_lower", "_upper"))
        if np.isfinite(value):
            width, narrow, wide = (float(at[f"width{end}"]) for end in ("", "_lower", "_upper"))
            rise = (
                f"P rises from 1/4 to 3/4 within {number(width, 3)} ({interval(narrow, wide)})"
                if np.isfinite(width)
                else "the width of the rise is not known"
            )
            sentences.append(
                f"At N = {N}, half of the runs recover at alpha_50 = {number(value, 3)} "
                f"(95 % confidence interval {interval(low, high)}); {rise}."
            )
        else:
            bound = f"above {number(low, 3)}" if np.isfinite(low) else f"below {number(high, 3)}"
            sentences.append(f"At N = {N}, alpha_50 is {bound}, outside the alphas that were run.")
    return sentences


def unlimited_time(scaling: xr.Dataset) -> list[str]:
    """alpha_50 of every N for unlimited time, for one kind of start; empty if it is known for no N."""
    if "budget_alpha_50" not in scaling:
        return []
    limit = scaling.sel(budget=np.inf)
    ends = (limit[f"budget_alpha_50{end}"].values for end in ("", "_lower", "_upper"))
    known = [
        f"{number(value, 3)} ({interval(low, high)}) at N = {N}"
        for N, value, low, high in zip(limit["N"].values, *ends, strict=True)
        if np.isfinite(value)
    ]
    return [f"Extrapolated to unlimited time, alpha_50 is {enumerated(known)}."] if known else []


def words(scaling: xr.Dataset, name: str) -> str:
    """A text variable of the scaling table without its full stop; empty if there is none."""
    text = str(scaling[name].item()) if name in scaling else ""
    return "" if text == "nan" else text.removesuffix(".")


def windows(runs: dict[int, xr.Dataset]) -> list[str]:
    """How long the curvature points to the signal, at the alpha whose P is nearest to 1/2, for every N."""
    sentences = []
    for N, data in runs.items():
        cell = data.isel(alpha=most_mixed(share_recovered(data["outcome"]).values))
        window = cell["t_bbp"].values[cell["outcome"].values != Outcome.PENDING]
        lost = window[np.isfinite(window)]
        ends = (
            f"it disappears in {lost.size / window.size:.0%}, at the median t_BBP = {np.median(lost):.3g},"
            if lost.size
            else "it disappears in none"
        )
        sentences.append(
            f"At N = {N}, alpha = {float(cell['alpha']):.3g}, the Hessian has a predicted outlier towards "
            f"the signal in {np.mean(~np.isnan(window)):.0%} of the runs; {ends} and lasts to the end of the "
            f"run in {np.isinf(window).mean():.0%}."
        )
    return sentences


def early_knowledge(fate: xr.Dataset) -> list[str]:
    """How well early quantities predict the fate (AUC), at the alpha of every N whose P is nearest to 1/2."""

    def measured(row: xr.Dataset) -> str:
        auc, low, high = (float(row[f"auc{end}"]) for end in ("", "_low", "_high"))
        return f"{auc:.2f} ({interval(low, high, 2)})"

    sentences = []
    for N in fate["N"].values:
        at = fate.sel(N=N)
        cell = at.isel(alpha=most_mixed(at["share_recovered"].values))
        known = [
            f"{measured(row)} for {what}"
            for name, what in EARLY.items()
            if np.isfinite((row := cell.sel(quantity=name))["auc"])
        ]
        if known:
            sentences.append(
                f"At N = {N}, alpha = {float(cell['alpha']):.3g}, the AUC is {enumerated(known)}."
            )
    return sentences or [
        "No cell (N, alpha) has 10 recovered and 10 other runs, so the AUC of early quantities is unknown."
    ]


def caveats(sweep: Sweep, theory: xr.Dataset, success: xr.Dataset, scaling: xr.Dataset) -> list[str]:
    """Limitations of the numbers of the report."""
    final = success.isel(budget=-1)
    found = []
    worst = final["undecided_share"].where(final["n"] > 0).stack(cell=("N", "alpha", "start_group"))
    share = float(worst.max())
    if share > UNDECIDED:
        at = worst.isel(cell=int(worst.argmax("cell")))
        many = int((worst > UNDECIDED).sum())
        found.append(
            f"In {many} of {int(worst.notnull().sum())} cells more than {UNDECIDED:.0%} of the runs are "
            f"undecided at t = {sweep.t_max:g} (the largest share is {share:.0%} at N = {int(at['N'])}, "
            f"alpha = {float(at['alpha']):.3g}); undecided runs count as not recovered."
        )
    rise = final["last_decade_change"].where(final["n"] > 0)
    if float(rise.max()) > STILL_RISING:
        found.append(
            f"P increased by up to {float(rise.max()):.2f} over the last decade of time, so a larger "
            "t_max would give a larger P there."
        )
    if int(final["diverged"].sum()):
        found.append(f"{int(final['diverged'].sum())} runs diverged and are excluded.")
    if len(sweep.N) < 5:
        sizes = f"{len(sweep.N)} size{'s' if len(sweep.N) > 1 else ''}"
        found.append(f"The sweep has only {sizes} N: an extrapolation needs at least 2, and better 5.")
    for position in range(scaling.sizes.get("start_group", 0)):
        notes = words(scaling.isel(start_group=position), "notes")
        if notes:
            found.append(f"{notes[0].upper()}{notes[1:]}.")
    if np.isfinite(theory["alpha_threshold"]):
        found.append(threshold_caveat(theory))
    return list(dict.fromkeys(found))


def group_heading(group: StartGroup) -> str:
    """Name of a kind of start as a heading."""
    return f"{group.name[0].upper()}{group.name[1:]}"
