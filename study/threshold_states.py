"""Do runs without a signal end in the threshold states that the theory predicts?

The script runs gradient flow at several N with labels that are independent of the sensing matrix, until every
run is in a minimum. It compares energies, predictions and Hessian spectra with the one-step-RSB prediction of
docs/explanation/physics.md §7. Runs are stored in ``FOLDER/runs`` and reused.

    python study/threshold_states.py --to FOLDER [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from phasepipe import NormalisedQuartic, Problem, spectrum, starts
from phasepipe.analysis.extrapolation import extrapolate
from phasepipe.figures.style import CYCLE, PAGE_WIDTH, THEORY, VERMILION, paper_style, size_colours
from phasepipe.physics.batch import run_batch
from phasepipe.physics.protocol import Flow, RunProtocol
from phasepipe.physics.record_times import record_times
from phasepipe.theory import ThresholdStates, bulk_density, threshold_states

Float = NDArray[np.float64]

SEED = 4
BATCH = 16  # instances that are integrated in one batch
SPECTRA = 8  # instances per N whose Hessian is diagonalised
TAIL = (3.0, 100.0)  # times of the power-law fit, before finite-size effects appear in the largest systems
REPLICATES = 200
LABEL_BINS = ((0.2, 0.4), (0.9, 1.1), (1.8, 2.2))  # of |y|
EDGES = np.linspace(0, 3.5, 36)  # of the histograms of |yhat|
NEVER = 1e-12  # gradient tolerance so small that no run ends before t_max


@dataclass(frozen=True)
class Setting:
    """One loss at one signal-to-noise ratio."""

    a: float
    alpha: float

    @property
    def loss(self) -> NormalisedQuartic:
        return NormalisedQuartic(self.a)


@dataclass(frozen=True)
class Plan:
    """Settings, instances per N (one start each), and the time budget."""

    settings: tuple[Setting, ...]
    instances: Mapping[int, int]
    t_max: float


FULL = Plan(
    (Setting(1.0, 4.0), Setting(1.0, 7.094), Setting(0.01, 3.0), Setting(0.01, 4.436)),
    {64: 256, 128: 128, 256: 64, 512: 32, 1024: 8, 2048: 6},
    t_max=1000.0,
)
QUICK = Plan((Setting(1.0, 4.0),), {32: 32, 64: 16, 128: 8}, t_max=300.0)


def simulate(setting: Setting, N: int, instances: int, t_max: float) -> xr.Dataset:
    """Zero-signal runs, one start per instance.

    Returns
    -------
    Dataset with ``energy`` (instance, time) per dimension, ``prediction`` and ``label`` (instance,
    measurement) at t_max, and ``eigenvalue`` (spectrum, mode) of the Hessian at t_max.
    """
    times = record_times(t_max, per_decade=8)
    protocol = RunProtocol(Flow(), times, gradient_tolerance=NEVER, snapshots=np.array([len(times) - 1]))
    energy, prediction, label, eigenvalue = [], [], [], []
    for first in range(0, instances, BATCH):
        numbers = range(first, min(first + BATCH, instances))
        problems = [Problem.draw(N, setting.alpha, SEED, number, zero_signal=True) for number in numbers]
        points = [starts.random(problem, 1, SEED) for problem in problems]
        runs = run_batch(problems, setting.loss, points, protocol)
        energy.append(runs["loss"].values)
        for number, problem, path in zip(numbers, problems, runs["snapshot"].values, strict=True):
            prediction.append(problem.sensing @ path[-1] / np.sqrt(N))
            label.append(problem.labels)
            if number < SPECTRA:
                modes = spectrum(problem, setting.loss, path[-1], full=True)
                eigenvalue.append(modes["all_eigenvalues"].values)
    return xr.Dataset(
        {
            "energy": (("instance", "time"), np.concatenate(energy).astype(float)),
            "prediction": (("instance", "measurement"), np.array(prediction, dtype=float)),
            "label": (("instance", "measurement"), np.array(label)),
            "eigenvalue": (("spectrum", "mode"), np.array(eigenvalue)),
        },
        coords={"time": times},
    )


def runs_of(setting: Setting, plan: Plan, folder: Path) -> dict[int, xr.Dataset]:
    """Runs at every N; runs that an earlier call has stored are read."""
    runs = {}
    for N, instances in plan.instances.items():
        path = (
            folder / "runs" / f"a{setting.a:g}-alpha{setting.alpha:g}-N{N}-t{plan.t_max:g}-n{instances}.zarr"
        )
        if not path.exists():
            simulate(setting, N, instances, plan.t_max).to_zarr(path, consolidated=False)
            print(f"a = {setting.a:g}, alpha = {setting.alpha:g}: N = {N} done", flush=True)
        runs[N] = xr.open_zarr(path, consolidated=False).load()
    return runs


def tail(times: Float, energy: Float) -> tuple[float, float, float, float]:
    """Fit the power law ``E(t) = E_inf + c t^-gamma`` to the mean over instances; energy (instance, time).

    Returns
    -------
    E_inf, its error, gamma, its error; errors from a bootstrap over instances.
    """
    inside = (times >= TAIL[0]) & (times <= TAIL[1])
    t, series = times[inside], energy[:, inside]
    rng = np.random.default_rng(SEED)

    def fit(values: Float) -> tuple[float, float]:
        guess = (values[-1], values[0] - values[-1], 0.6)
        bounds = ([0.0, 0.0, 0.05], [np.inf, np.inf, 5.0])
        limit, _, gamma = curve_fit(lambda s, e, c, g: e + c * s**-g, t, values, guess, bounds=bounds)[0]
        return float(limit), float(gamma)

    count = len(series)
    replicates = [fit(series[rng.integers(count, size=count)].mean(0)) for _ in range(REPLICATES)]
    error = np.std(replicates, axis=0)
    limit, gamma = fit(series.mean(0))
    return limit, float(error[0]), gamma, float(error[1])


def final_energy(runs: xr.Dataset) -> tuple[float, float]:
    """Mean energy at t_max and its standard error over instances."""
    last = runs["energy"].isel(time=-1).values
    return float(last.mean()), float(last.std(ddof=1) / np.sqrt(len(last)))


class Histogram(NamedTuple):
    """Density of ``|yhat|`` where ``|y|`` lies in a bin."""

    measured: Float  # (bins,)
    predicted: Float  # (bins,)
    distance: float  # half the integral of the absolute difference: 0 if equal, 1 if disjoint
    noise: float  # distance expected from the finite number of measurements


def prediction_histogram(
    runs: xr.Dataset, states: ThresholdStates, label_bin: tuple[float, float]
) -> Histogram:
    """Measured and predicted distribution of the predictions at t_max, over all instances."""
    label = np.abs(runs["label"].values.ravel())
    chosen = (label >= label_bin[0]) & (label < label_bin[1])
    size = np.abs(runs["prediction"].values.ravel()[chosen])
    width = np.diff(EDGES)
    measured = np.histogram(size, EDGES)[0] / (size.size * width)
    fine = (EDGES[:-1, None] + width[:, None] * (np.arange(8) + 0.5) / 8).ravel()
    y = np.linspace(*label_bin, 9)
    weight = np.exp(-0.5 * y**2) / np.exp(-0.5 * y**2).sum()
    curves = [2 * states.measure.density(fine, float(value)) for value in y]
    predicted = (weight @ np.array(curves)).reshape(len(width), 8).mean(1)
    noise = 0.5 * np.sum(np.sqrt(2 * predicted * width / (np.pi * size.size)))
    distance = 0.5 * np.sum(np.abs(measured - predicted) * width)
    return Histogram(measured, predicted, float(distance), float(noise))


def spectral_density(states: ThresholdStates, eigenvalues: Float, count: int = 4000) -> Float:
    """Predicted density of the Hessian of the threshold states, shape of ``eigenvalues``."""
    yhat, y = states.measure.sample(count, np.random.default_rng(SEED))
    return np.asarray(bulk_density(eigenvalues, y, yhat, states.loss, count / states.alpha))


def summarise(setting: Setting, runs: Mapping[int, xr.Dataset], states: ThresholdStates) -> dict[str, float]:
    """One row of the table: energies in units of loss per dimension, with standard errors."""
    sizes = sorted(runs)
    largest = runs[sizes[-1]]
    finals = np.array([final_energy(runs[N]) for N in sizes])
    row = {"a": setting.a, "alpha": setting.alpha, "theory": states.energy}
    for N, (mean, error) in zip(sizes, finals, strict=True):
        row |= {f"E_{N}": mean, f"error_{N}": error}
        row[f"lowest_{N}"] = float(runs[N]["eigenvalue"].isel(mode=0).mean())
    for N in sizes[-2:]:
        limit, error, gamma, gamma_error = tail(runs[N]["time"].values, runs[N]["energy"].values)
        row |= {f"tail_{N}": limit, f"tail_error_{N}": error}
        row |= {f"gamma_{N}": gamma, f"gamma_error_{N}": gamma_error}
    fits = extrapolate(sizes, *finals.T, imposed_limit=states.energy, forms=["power"], quantity="E").fits
    for fit in fits:
        name = "imposed" if fit.imposed else "power"
        row |= {f"{name}_limit": fit.limit, f"{name}_omega": fit.omega, f"{name}_chi2": fit.chi2}
        row[f"{name}_low"], row[f"{name}_high"] = fit.limit_interval
    for label_bin in LABEL_BINS:
        histogram = prediction_histogram(largest, states, label_bin)
        name = f"{np.mean(label_bin):.1f}"
        row |= {f"distance_{name}": histogram.distance, f"noise_{name}": histogram.noise}
    return row


@paper_style()
def draw(runs: Mapping[int, xr.Dataset], states: ThresholdStates) -> Figure:
    """Energy against time, predictions given the label, and Hessian spectrum, compared with the theory."""
    figure = Figure(figsize=(PAGE_WIDTH, 2.5), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _draw_energy(left, runs, states)
    largest = runs[max(runs)]
    centres = 0.5 * (EDGES[1:] + EDGES[:-1])
    for shift, (label_bin, colour) in enumerate(zip(LABEL_BINS, CYCLE, strict=False)):
        measured, predicted, *_ = prediction_histogram(largest, states, label_bin)
        name = f"{label_bin[0]:g} < |y| < {label_bin[1]:g}"
        middle.stairs(measured + 2 * shift, EDGES, baseline=2 * shift, color=colour, fill=True, alpha=0.35)
        middle.plot(centres, predicted + 2 * shift, color=colour)
        middle.annotate(name, (3.5, 2 * shift + 0.6), ha="right", color=colour, fontsize=6.5)
    middle.set(xlabel=r"prediction $|\hat y|$", ylabel="density, shifted by 2", ylim=(0, None))
    middle.set_title(f"N = {max(runs)}; lines: theory", loc="left")
    modes = largest["eigenvalue"].values.ravel()
    top = float(np.quantile(modes, 0.97))
    bins = np.linspace(-0.3, top, 50)
    counts = np.histogram(modes, bins)[0] / (modes.size * np.diff(bins))
    right.stairs(counts, bins, color="0.75", fill=True, label=f"N = {max(runs)}")
    grid = np.linspace(-0.3, top, 250)
    right.plot(grid, spectral_density(states, grid), color=VERMILION, label="theory")
    right.axvline(0, color="0.4", linewidth=0.5)
    right.set(xlabel="eigenvalue of the Hessian", ylabel="density")
    right.legend()
    return figure


def _draw_energy(axes: Axes, runs: Mapping[int, xr.Dataset], states: ThresholdStates) -> None:
    colours = size_colours(runs)
    for N, data in runs.items():
        shown = data["time"].values > 0
        mean = data["energy"].mean("instance").values[shown]
        error = (data["energy"].std("instance", ddof=1) / np.sqrt(data.sizes["instance"])).values[shown]
        time = data["time"].values[shown]
        axes.plot(time, mean, color=colours[N], label=f"N = {N}")
        axes.fill_between(time, mean - error, mean + error, color=colours[N], alpha=0.2, linewidth=0)
    axes.axhline(states.energy, **THEORY)
    axes.annotate("theory", (1.0, states.energy), (0, 3), textcoords="offset points", fontsize=6.5)
    axes.set(xscale="log", xlim=(0.9, None), ylim=(0.85 * states.energy, 3 * states.energy))
    axes.set(xlabel="time t", ylabel="energy per N")
    axes.set_title(rf"a = {getattr(states.loss, 'a', np.inf):g}, $\alpha$ = {states.alpha:g}", loc="left")
    axes.legend()


@paper_style()
def save(figure: Figure, path: Path) -> None:
    """Save a figure as PNG."""
    figure.savefig(path, dpi=200)


def check(plan: Plan, folder: Path) -> pd.DataFrame:
    """Run the plan, write ``threshold-states.csv`` and one figure per setting, and return the table."""
    rows = []
    for setting in plan.settings:
        runs = runs_of(setting, plan, folder)
        states = threshold_states(setting.loss, setting.alpha)
        rows.append(summarise(setting, runs, states))
        name = f"threshold-states-a{setting.a:g}-alpha{setting.alpha:g}.png"
        save(draw(runs, states), folder / name)
    table = pd.DataFrame(rows)
    table.to_csv(folder / "threshold-states.csv", index=False, float_format="%.6g")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--to", type=Path, required=True, help="folder for runs, table and figures")
    parser.add_argument("--quick", action="store_true", help="one setting at small N; takes seconds")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    print(check(QUICK if arguments.quick else FULL, arguments.to).T.to_string())
