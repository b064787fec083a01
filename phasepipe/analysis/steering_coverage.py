"""How often alpha_50 lies in the interval with which a self-steering sweep ends, on planted data.

The steering is that of the workflow; only the runs are planted (:mod:`phasepipe.analysis.planted`). Print the
table of docs/evidence/scaling-coverage.md with ``python -m phasepipe.analysis.steering_coverage``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from multiprocessing import Pool

import numpy as np
import pandas as pd

from phasepipe.analysis.counts import Cells, FloatArray, InstanceSums
from phasepipe.analysis.coverage import OFFSET, TRUTH
from phasepipe.analysis.planted import POPULATIONS, PlantedScaling
from phasepipe.analysis.steering import Ended, Goal, Sizing, half_width, next_step

SIZES = (64, 256)
GOAL = Goal(0.02, SIZES, 1e9)


@dataclass(frozen=True)
class Grid:
    """The grid that a sweep starts from, the same at every N."""

    alphas: tuple[float, ...]
    instances: int
    starts: int


GRIDS = {
    "fine": Grid(tuple(np.arange(1.5, 4.01, 0.25).tolist()), 16, 16),
    "coarse": Grid((1.25, 1.75, 2.25, 2.75, 3.25, 3.75), 8, 16),
    "beside": Grid((2.75, 3.25, 3.75, 4.25), 16, 4),  # alpha_50 is not in it
    "one start": Grid(tuple(np.arange(1.5, 4.01, 0.25).tolist()), 64, 1),
}
SIZINGS = {
    "stop when short enough": Sizing(growth=1.25, aim=1.0),
    "rounds sized in advance": Sizing(),
}


def core_seconds(N: int, alpha: float) -> float:
    """A cost of the shape of the engine's."""
    return float(400 * min(1.0, 2.5 / alpha) ** 1.5 * (4 * alpha * N**2 / 5.5e10 + 12e-6))


@dataclass
class PlantedSweep:
    """Recoveries of every instance by N and number of measurements; grows like the store of a sweep."""

    truth: PlantedScaling
    starts: int
    rng: np.random.Generator
    recovered: dict[tuple[int, int], FloatArray] = field(default_factory=dict)

    def add(self, N: int, alpha: float, instances: int) -> None:
        """Run new instances."""
        cell = N, round(alpha * N)
        new = self.truth.draw_counts([N], [cell[1] / N], instances, self.starts, self.rng)[0, 0]
        self.recovered[cell] = np.concatenate([self.recovered.get(cell, np.empty(0)), new])

    def cells(self) -> Iterator[Cells]:
        """Sums over instances, for every N."""
        for size in sorted({N for N, _ in self.recovered}):
            measurements = sorted(M for N, M in self.recovered if size == N)
            sums = [InstanceSums.of(self.recovered[size, M], float(self.starts)) for M in measurements]
            columns = (
                np.array([getattr(each, column.name) for each in sums]) for column in fields(InstanceSums)
            )
            yield Cells(size, np.array(measurements) / size, InstanceSums(*columns))


def steered(kind: str, grid: Grid, sizing: Sizing, goal: Goal, seed: int) -> pd.DataFrame:
    """One planted sweep, steered to its end: a row per N with truth, interval, rounds and runs."""
    rng = np.random.default_rng([seed, list(POPULATIONS).index(kind)])
    truth = replace(
        TRUTH, population=POPULATIONS[kind], alpha_inf=TRUTH.alpha_inf + rng.uniform(-OFFSET, OFFSET)
    )
    sweep = PlantedSweep(truth, grid.starts, rng)
    for N in goal.sizes:
        for alpha in grid.alphas:
            sweep.add(N, alpha, grid.instances)
    spent, rounds = 0.0, 0
    while True:
        step = next_step(list(sweep.cells()), core_seconds, goal, spent, starts=grid.starts, sizing=sizing)
        if step.ended is not None:
            break
        rounds, spent = rounds + 1, spent + float(step.additions["core_seconds"].sum())
        for row in step.additions.to_dict("records"):
            sweep.add(int(row["N"]), float(row["alpha"]), int(row["instances"]))
    return pd.DataFrame(
        [
            {
                "population": kind,
                "N": fit.N,
                "truth": float(truth.alpha_50(fit.N)),
                "value": fit.alpha_50,
                "lower": fit.alpha_50_lower,
                "upper": fit.alpha_50_upper,
                "half_width": half_width(fit),
                "reached": step.ended is Ended.REACHED,
                "rounds": rounds,
                "runs": float(fit.cells.sums.runs.sum()),
            }
            for fit in step.fits
        ]
    )


def steering_coverage(
    grid: Grid,
    sizing: Sizing,
    sequences: int,
    *,
    goal: Goal = GOAL,
    kinds: Sequence[str] = tuple(POPULATIONS),
    processes: int = 1,
    first_seed: int = 0,
) -> pd.DataFrame:
    """Rows of :func:`steered` for several sequences of each population."""
    tasks = [(kind, grid, sizing, goal, first_seed + seed) for kind in kinds for seed in range(sequences)]
    if processes == 1:
        return pd.concat([steered(*task) for task in tasks], ignore_index=True)
    with Pool(processes) as pool:
        return pd.concat(pool.starmap(steered, tasks, chunksize=4), ignore_index=True)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Coverage by population in percent, misses by side, and what a sweep took."""
    below, above = rows["upper"] < rows["truth"], rows["lower"] > rows["truth"]
    scaled = (rows["value"] - rows["truth"]) / rows["half_width"]
    table = rows.assign(
        coverage=100.0 * ~(below | above), below=100.0 * below, above=100.0 * above, bias=scaled
    )
    columns = ["coverage", "below", "above", "bias", "half_width", "rounds", "runs"]
    by_kind = table.groupby("population", sort=False)[columns].mean()
    return pd.concat([by_kind, table[columns].mean().to_frame("all").T])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the coverage table in Markdown."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--grids", nargs="*", default=list(GRIDS))
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args(arguments)
    columns = "grid | sizing | population | coverage | below | above | bias | half-width | rounds | runs"
    print(f"| {columns} |\n|{' --- |' * 10}")
    run = partial(steering_coverage, sequences=options.sequences, processes=options.processes)
    for name in options.grids:
        for rule, sizing in SIZINGS.items():
            for kind, row in summary(run(GRIDS[name], sizing)).iterrows():
                shares = (
                    f"{row['coverage']:.1f} | {row['below']:.1f} | {row['above']:.1f} | {row['bias']:+.2f}"
                )
                effort = f"{row['half_width']:.4f} | {row['rounds']:.1f} | {row['runs']:.0f}"
                print(f"| {name} | {rule} | {kind} | {shares} | {effort} |", flush=True)


if __name__ == "__main__":
    main()
