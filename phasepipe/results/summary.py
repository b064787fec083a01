"""What a notebook shows of a sweep: what it is, how much of it is computed, and what to ask.

xarray gives a tree no place for a summary of its own. :class:`SweepTree` adds one above xarray's display and
changes nothing else; the nodes below are plain trees. Everything comes from the folder and is escaped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined

from phasepipe.errors import UserError
from phasepipe.results.estimates import stored_runs
from phasepipe.results.selection import is_reduced, listed
from phasepipe.specification.dynamics import DescentSpec
from phasepipe.specification.loss import describe_loss
from phasepipe.specification.start_groups import start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.success_figures import thresholds
from phasepipe.store.layout import Status
from phasepipe.store.tables import asked_runs, last_asked

_QUESTIONS = {
    "tree.phase.plot.success(T=...)": "P(recovery) against alpha; without plot, the numbers",
    "tree.phase.plot.alpha_50()": "alpha at which half of the runs recover, against N",
    "tree.phase.plot.limit(), .collapse()": "its limit for N → ∞, and the data collapse",
    "tree.phase.plot.windows()": "when runs lose the direction to the signal",
}
_OF_RUNS = {
    'tree.phase.runs(N, alpha, outcome="trapped")': "the runs of a cell",
    "tree.phase.plot.trajectory(N, alpha, instance, start)": "one run against time",
    "tree.phase.rerun(N, alpha, instance, start)": "the same run again, to the bit",
}
_OF_SPECTRA = {"tree.phase.plot.spectrum(N, alpha, t=...)": "spectrum of the Hessian, and its prediction"}


class SweepTree(xr.DataTree):  # type: ignore[no-untyped-call]
    """The tree of a sweep; a notebook shows :func:`summary_html` above it."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        arrays = str(super()._repr_html_())  # type: ignore[no-untyped-call]
        style = xr.get_options()["display_style"]  # type: ignore[no-untyped-call]
        return arrays if style == "text" or "folder" not in self.attrs else summary_html(self) + arrays


def summary_html(tree: xr.DataTree) -> str:
    """Summary of the opened sweep ``tree`` as HTML, or the reason why there is none."""
    environment = Environment(
        loader=PackageLoader("phasepipe.results"), autoescape=True, undefined=StrictUndefined
    )
    try:
        content = _content(tree)
    except UserError as error:
        return environment.from_string("<p>{{ reason }}</p>").render(reason=str(error))
    return environment.get_template("summary.html.j2").render(content)


def _content(tree: xr.DataTree) -> dict[str, Any]:
    sweep = last_asked(node.attrs for node in tree.leaves)
    sizes = [_size(tree, sweep, N) for N in sorted(sweep.N)]
    done, asked = (sum(size[name] for size in sizes) for name in ("done", "asked"))
    questions = dict(_QUESTIONS)
    if not is_reduced(tree):
        questions |= _OF_RUNS
    if "spectra" in tree.children:
        questions |= _OF_SPECTRA
    return {
        "name": sweep.name,
        "what": _what(sweep),
        "state": _state(tree, done, asked),
        "sizes": sizes,
        "thresholds": _thresholds(tree),
        "tables": ", ".join(sorted(set(tree.children) - {"runs", "instances", "spectra"})),
        "questions": questions.items(),
    }


def _what(sweep: Sweep) -> str:
    dynamics = sweep.dynamics
    flow = (
        f"gradient descent, learning rate {dynamics.learning_rate:g}"
        if isinstance(dynamics, DescentSpec)
        else "gradient flow"
    )
    starts = " and ".join(
        f"{start.count} {group.name}" for group, start in zip(start_groups(sweep), sweep.starts, strict=True)
    )
    parts = [describe_loss(sweep.loss), f"{flow} to t = {sweep.t_max:g}", f"per instance {starts}"]
    if sweep.sensing.kind != "gaussian":
        parts.append(f"sensing: {sweep.sensing.kind}")
    if sweep.noise:
        parts.append(f"label noise {sweep.noise:g}")
    if sweep.zero_signal:
        parts.append("zero-signal control")
    return "; ".join(parts)


def _size(tree: xr.DataTree, sweep: Sweep, N: int) -> dict[str, Any]:
    """Runs that are asked for and computed at one N."""
    alphas = [float(f"{alpha:.4g}") for alpha in sorted(sweep.alphas(N))]
    starts = len(sweep.start_keys())
    asked = {M: count * starts for M, count in sweep.instances_at(N).items()}
    measurements, runs = np.empty(0, int), np.empty(0, int)
    if is_reduced(tree):
        counts = tree["counts"].to_dataset().sel(N=N)
        runs = (counts["runs"] + counts["diverged"]).sum(("instance", "start_group")).values
        measurements = np.rint(counts["alpha"].values * N).astype(int)  # alphas of other N may give the same
    elif "runs" in tree.children and f"N{N}" in tree["runs"].children:
        # read again, so that a sweep that is being computed shows where it is now
        status = asked_runs(stored_runs(tree, N)[["status"]], sweep, N)
        runs = (status["status"] == Status.DONE).sum(("instance", "start")).values
        measurements = status["measurements"].values
    computed = sum(min(count, int(runs[measurements == M].sum())) for M, count in asked.items())
    return {"N": N, "alphas": listed(alphas), "asked": sum(asked.values()), "done": computed}


def _state(tree: xr.DataTree, done: int, asked: int) -> str:
    if is_reduced(tree):
        made = tree["counts"].attrs.get("reduced", {})
        when = f" on {str(made['at'])[:10]}" if "at" in made else ""
        return f"Reduced to tables{when}: {done:,} runs are counted, single runs are not kept."
    if done == asked:
        return f"All {asked:,} runs are computed."
    return (
        f"{done:,} of {asked:,} runs are computed ({done / asked:.0%}); "
        "run the workflow again for the others, phasepipe status shows the time left."
    )


def _thresholds(tree: xr.DataTree) -> str:
    """The thresholds that the theory knows; empty without a theory."""
    if "theory" not in tree.children:
        return ""
    theory = tree["theory"].to_dataset()
    known = thresholds(theory)
    parts = {
        f"alpha_init = {known.initial:.4g}": np.isfinite(known.initial),
        f"marginal minima unstable from {known.unstable.low:.4g} to {known.unstable.high:.4g}": (
            known.unstable.known
        ),
        f"1RSB threshold {known.one_rsb:.4g}": np.isfinite(known.one_rsb),
    }
    return ", ".join(text for text, drawn in parts.items() if drawn)
