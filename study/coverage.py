"""Do the intervals of the study contain the truth? Planted data at the designs of its sweeps.

A design is what the configuration of a sweep says: sizes, alphas, instances and starts. The planted curves
lie near the measured ones. ``python -m study.coverage curves`` and ``python -m study.coverage times`` print
the tables of docs/evidence/scaling-coverage.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phasepipe.analysis.coverage import TRUTH, Design, curve_coverage, summary
from phasepipe.analysis.planted import POPULATIONS, PlantedScaling
from phasepipe.analysis.time_coverage import Law, PlantedTimes, TimedDesign, time_coverage
from phasepipe.physics.start_kinds import StartKind
from phasepipe.specification.configuration import load_configuration
from phasepipe.specification.sweep import Sweep

CONFIG = Path(__file__).parents[1] / "config"
# near the measured alpha_50 for unlimited time: 2.19 and 2.74 at N = 64, 2.41 and 3.16 at N = 2048
UNLIMITED = replace(TRUTH, amplitude=-72.1, unit_size=float(np.exp(-28.0)))
UNLIMITED_A1 = replace(TRUTH, alpha_inf=7.094, amplitude=-142.5, unit_size=float(np.exp(-28.6)))
LAWS: tuple[tuple[Law, float], ...] = (("lomax", 1.0), ("lomax", 0.7), ("log-normal", 0.7))
# by N: a typical time of recoveries, and the share of the other runs that are certified as trapped
SLOWNESS = {
    64: (5, 1.0),
    128: (18, 1.0),
    256: (43, 0.99),
    512: (100, 0.97),
    1024: (185, 0.93),
    2048: (300, 0.8),
}


@dataclass(frozen=True)
class Planned:
    """A sweep of the study, and the curves that are planted for it."""

    file: str
    truth: PlantedScaling
    limit: bool = False  # whether alpha_50 is extrapolated to N = infinity

    def sweep(self, name: str) -> Sweep:
        """Its configuration."""
        return load_configuration([CONFIG / self.file], {"sweep": name}).sweep


PLANNED = {
    "scaling-a0.01": Planned("study/4-scaling.yaml", UNLIMITED, limit=True),
    "scaling-a1": Planned("study/4-scaling.yaml", UNLIMITED_A1, limit=True),
    "starts-a0.01": Planned("study/5-starts.yaml", UNLIMITED),
    "control-a0.01": Planned("study/6-control.yaml", UNLIMITED),
    "demo": Planned("config.yaml", TRUTH),
}


def design(sweep: Sweep) -> Design:
    """What a sweep runs from random starts."""
    cells = [(N, sweep.instances_at(N)) for N in sweep.N]
    return Design(
        tuple(sweep.N),
        tuple(tuple(M / N for M in sorted(counts)) for N, counts in cells),
        tuple(tuple(counts[M] for M in sorted(counts)) for _, counts in cells),
        _random_starts(sweep),
    )


def timed_design(sweep: Sweep, N: int) -> TimedDesign:
    """The same at one size, with the time to which runs are followed."""
    counts = sweep.instances_at(N)
    (instances,) = set(counts.values())
    return TimedDesign(N, tuple(M / N for M in sorted(counts)), instances, _random_starts(sweep), sweep.t_max)


def _random_starts(sweep: Sweep) -> int:
    return sum(kind == StartKind.RANDOM for kind, _, _ in sweep.start_keys())


def print_curves(names: Sequence[str], studies: int) -> None:
    """Print the coverage of P, alpha_50, width and limit in Markdown."""
    print("| design | population | quantity | coverage | below | above | by N | bias / interval | open |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        planned = PLANNED[name]
        for kind, population in POPULATIONS.items():
            found = curve_coverage(
                design(planned.sweep(name)),
                replace(planned.truth, population=population),
                studies,
                np.random.default_rng(1),
                limit=planned.limit,
            )
            for row in summary(found).to_dict("records"):
                print(_printed(name, kind, row), flush=True)


def _printed(name: str, population: str, row: dict[Hashable, Any]) -> str:
    numbers = f"{row['coverage']:.1f} | {row['below']:.1f} | {row['above']:.1f} | {row['by N']}"
    bias = f"{row['bias']:+.2f}" if np.isfinite(row["bias"]) else ""
    return f"| {name} | {population} | {row['quantity']} | {numbers} | {bias} | {row['open']:.0f} % |"


def print_times(names: Sequence[str], studies: int) -> None:
    """Print the coverage of alpha_50 for unlimited time in Markdown."""
    print(
        "| design | N | undecided | recovery times | coverage | below | above | median error | half-width |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        planned = PLANNED[name]
        sweep = planned.sweep(name)
        truth = replace(planned.truth, population=POPULATIONS["skewed"])
        for N in sweep.N:
            scale, certified = SLOWNESS[N]
            for law, gamma in LAWS:
                times = PlantedTimes(truth, law, gamma, scale, certified)
                found = time_coverage(timed_design(sweep, N), times, studies, np.random.default_rng(4))
                row = summary(found).iloc[0]
                error = (found["value"] - found["truth"]).median()
                half = ((found["upper"] - found["lower"]) / 2).median()
                covered = " | ".join(f"{row[key]:.1f}" for key in ("coverage", "below", "above"))
                print(
                    f"| {name} | {N} | {found['undecided'].mean():.0%} | {law}, {gamma:g} | {covered} | "
                    f"{error:+.3f} | {half:.3f} |",
                    flush=True,
                )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one of the coverage tables."""
    parser = argparse.ArgumentParser(prog="python -m study.coverage", description=main.__doc__)
    parser.add_argument("table", choices=["curves", "times"])
    parser.add_argument("--studies", type=int, default=60)
    parser.add_argument(
        "--designs", nargs="*", choices=list(PLANNED), help="default: all that have the table"
    )
    options = parser.parse_args(arguments)
    if options.table == "curves":
        print_curves(options.designs or list(PLANNED), options.studies)
    else:
        print_times(options.designs or ["scaling-a0.01", "scaling-a1"], options.studies)


if __name__ == "__main__":
    main()
