"""Results of a sweep in sentences: every number is read from the stores, what is not known is said so."""

from __future__ import annotations

import numpy as np
import xarray as xr

from phasepipe.physics.outcomes import Outcome
from phasepipe.specification.dynamics import FlowSpec
from phasepipe.specification.loss import NormalisedQuarticSpec, describe_loss
from phasepipe.specification.start_groups import StartGroup, start_groups
from phasepipe.specification.sweep import Sweep

# shares above which a reader should be warned
UNDECIDED, STILL_RISING = 0.05, 0.05
THRESHOLDS = {
    "alpha_weak_recovery": "weak recovery by any algorithm",
    "alpha_information_theoretic": "full recovery at any cost",
    "alpha_approximate_message_passing": "full recovery by approximate message passing",
}
# energy of long runs without a signal over that of the threshold states, by a;
# see docs/evidence/threshold-states.md
ENERGY_GAPS = {0.01: "9 to 22 %", 1.0: "4 to 14 %"}
EARLY = {
    "initial_overlap": "|m| at t = 0",
    "overlap": "|m| at the median t_BBP",
    "outlier_overlap": "the predicted overlap of the outlier at the median t_BBP",
}


def number(value: float, digits: int = 3) -> str:
    """A number for people; infinities as signs, a dash where there is none."""
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}f}".replace("-", "−")


def interval(low: float, high: float, digits: int = 3) -> str:
    """Two ends for people."""
    return f"{number(low, digits)} to {number(high, digits)}"


def enumerate_words(items: list[str]) -> str:
    """``a, b and c``."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def setting(sweep: Sweep) -> list[str]:
    """What was run, in sentences."""
    alphas = sorted({M / N for N in sweep.N for M in sweep.measurements(N)})
    counts = sorted({count for N in sweep.N for count in sweep.instances_at(N).values()})
    instances = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    starts = enumerate_words(
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
        f"N = {enumerate_words([str(N) for N in sorted(sweep.N)])}; {len(alphas)} values of alpha "
        f"from {alphas[0]:.3g} to {alphas[-1]:.3g}; {instances} instances of each with {starts} each.",
        f"A run has recovered once |m| exceeds {sweep.recovery_threshold:g}; it is trapped once it is "
        "certified that it stays near a minimum; else it is undecided when its time is spent.",
    ]
    if sweep.zero_signal:
        sentences.append(
            "Control: the labels know nothing of the sensing matrix, so nothing can be recovered."
        )
    return sentences


def fates(runs: dict[int, xr.Dataset]) -> str:
    """How many runs there are, and how they ended."""
    outcomes = np.concatenate([data["outcome"].values.ravel() for data in runs.values()])
    total = int((outcomes != Outcome.PENDING).sum())
    shares = [
        f"{(outcomes == fate).sum() / total:.1%} {fate.name.lower()}"
        for fate in Outcome
        if fate is not Outcome.PENDING and (outcomes == fate).any()
    ]
    return f"{total:,} runs: {', '.join(shares)}."


def half_recovery(scaling: xr.Dataset) -> list[str]:
    """alpha_50 of every N of one group of starts."""
    if "alpha_50" not in scaling:
        return [f"alpha_50 could not be estimated: {words(scaling, 'notes')}."]
    sentences = []
    for N in scaling["N"].values:
        at = scaling.sel(N=N)
        value, low, high = (float(at[f"alpha_50{end}"]) for end in ("", "_lower", "_upper"))
        if np.isfinite(value):
            fit = (
                " (isotonic fit: the parametric curve is rejected)"
                if str(at["status"].item()) == "isotonic"
                else ""
            )
            sentences.append(
                f"At N = {N} half of the runs recover at alpha = {number(value)} "
                f"(95 % interval {interval(low, high)}){fit}."
            )
        else:
            bound = f"above {number(low)}" if np.isfinite(low) else f"below {number(high)}"
            sentences.append(f"At N = {N} half recovery lies {bound}, outside of what was measured.")
    return sentences


def words(scaling: xr.Dataset, name: str) -> str:
    """A text of the scaling table without its full stop; empty where there is none."""
    text = str(scaling[name].item()) if name in scaling else ""
    return "" if text == "nan" else text.removesuffix(".")


def theory_sentences(theory: xr.Dataset) -> list[str]:
    """Thresholds for N to infinity, and why one is missing."""
    lines = []
    meaning = {
        "alpha_init": "the Hessian at a random start points to the signal above alpha_init",
        "alpha_threshold": "the threshold states, where descent is trapped, become unstable towards the "
        "signal above alpha_threshold",
    }
    for name, what in meaning.items():
        value = float(theory[name])
        if np.isfinite(value):
            lines.append(f"For N to infinity {what} = {value:.4f}.")
        else:
            lines.append(f"{name} is not known: {theory[name].attrs.get('note', 'no reason was stored')}.")
    known = [f"{what} from alpha = {float(theory[name]):.4g}" for name, what in THRESHOLDS.items()]
    return [*lines, f"For orientation: {enumerate_words(known)}."]


def windows(runs: dict[int, xr.Dataset]) -> list[str]:
    """The window in which curvature points to the signal, where fates are most mixed."""
    sentences = []
    for N, data in runs.items():
        cell = data.isel(alpha=most_mixed(data))
        window = cell["t_bbp"].values[cell["outcome"].values != Outcome.PENDING]
        lost = window[np.isfinite(window)]
        ends = (
            f"in {lost.size / window.size:.0%} it ends, at t = {np.median(lost):.3g} in the median"
            if lost.size
            else "in none it ends"
        )
        sentences.append(
            f"At N = {N}, alpha = {float(cell['alpha']):.3g}, curvature points to the signal at the start of "
            f"{np.mean(~np.isnan(window)):.0%} of the runs; {ends}, and in {np.isinf(window).mean():.0%} it "
            "lasts to the end of the run."
        )
    return sentences


def most_mixed(runs: xr.Dataset) -> int:
    """Position of the alpha whose share of recovered runs is nearest to one half."""
    share = (runs["outcome"] == Outcome.RECOVERED).mean(
        [dim for dim in runs["outcome"].dims if dim != "alpha"]
    )
    return int(np.abs(share.values - 0.5).argmin())


def early_knowledge(fate: xr.Dataset) -> list[str]:
    """How well early quantities tell the fate (AUC), at the most mixed alpha of every N."""

    def measured(row: xr.Dataset) -> str:
        auc, low, high = (float(row[f"auc{end}"]) for end in ("", "_low", "_high"))
        return f"{auc:.2f} ({interval(low, high, 2)})"

    sentences = []
    for N in fate["N"].values:
        at = fate.sel(N=N)
        cell = at.isel(alpha=int(abs(at["share_recovered"] - 0.5).fillna(1.0).argmin("alpha")))
        known = [
            f"{measured(row)} for {what}"
            for name, what in EARLY.items()
            if np.isfinite((row := cell.sel(quantity=name))["auc"])
        ]
        if known:
            sentences.append(f"N = {N}, alpha = {float(cell['alpha']):.3g}: AUC {enumerate_words(known)}.")
    return sentences or [
        "No cell has 10 runs of either fate, so early quantities cannot be held against fates."
    ]


def threshold_caveat(sweep: Sweep) -> str:
    """How far to trust alpha_threshold: measured for two losses, unknown for others."""
    general = "alpha_threshold rests on an approximation (one step of replica symmetry breaking)"
    gap = ENERGY_GAPS.get(sweep.loss.a) if isinstance(sweep.loss, NormalisedQuarticSpec) else None
    if gap is None:
        return (
            f"{general}; how good it is for this loss was not measured "
            "(docs/evidence/threshold-states.md does it for two others)."
        )
    return (
        f"{general}: with this loss, long runs without a signal stay {gap} above its energy "
        "(docs/evidence/threshold-states.md), so read it as a guide."
    )


def caveats(sweep: Sweep, theory: xr.Dataset, success: xr.Dataset, scaling: xr.Dataset) -> list[str]:
    """What a reader should hold against the numbers above."""
    final = success.isel(budget=-1)
    found = []
    worst = final["undecided_share"].where(final["n"] > 0).stack(cell=("N", "alpha", "start_group"))
    share = float(worst.max())
    if share > UNDECIDED:
        at = worst.isel(cell=int(worst.argmax("cell")))
        many = int((worst > UNDECIDED).sum())
        found.append(
            f"In {many} of {int(worst.notnull().sum())} cells more than {UNDECIDED:.0%} of the runs are "
            f"undecided at t = {sweep.t_max:g} (most: {share:.0%} at N = {int(at['N'])}, "
            f"alpha = {float(at['alpha']):.3g}); they count as not recovered."
        )
    rise = final["last_decade_change"].where(final["n"] > 0)
    if float(rise.max()) > STILL_RISING:
        found.append(
            f"P still rose by up to {float(rise.max()):.2f} over the last decade of time: with a larger "
            "t_max the curves would lie higher there."
        )
    if int(final["diverged"].sum()):
        found.append(f"{int(final['diverged'].sum())} runs diverged and are left out.")
    if len(sweep.N) < 5:
        sizes = f"{len(sweep.N)} size{'s' if len(sweep.N) > 1 else ''} of N"
        found.append(f"{sizes}: an extrapolation needs at least 2, better 5.")
    for position in range(scaling.sizes.get("start_group", 0)):
        notes = words(scaling.isel(start_group=position), "notes")
        if notes:
            found.append(f"{notes[0].upper()}{notes[1:]}.")
    if np.isfinite(theory["alpha_threshold"]):
        found.append(threshold_caveat(sweep))
    return list(dict.fromkeys(found))


def group_heading(group: StartGroup) -> str:
    """Name of a group as a heading."""
    return f"{group.name[0].upper()}{group.name[1:]}"
