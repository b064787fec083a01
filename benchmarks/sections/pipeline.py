"""The whole pipeline (Snakemake, Dask, Zarr, tables, figures) compared with the engine alone.

For the engine alone, a pool of processes computes the same batches with the same records and stores nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

import phasepipe as pp
from benchmarks.harness import Plan, Row, Table, clock
from phasepipe.execution.cluster import available_cores
from phasepipe.execution.cost import instances_per_block
from phasepipe.physics.batch import run_batch
from phasepipe.simulation.prediction import LabelPredictor
from phasepipe.specification.configuration import load_sweep
from phasepipe.specification.sweep import Sweep

ROOT = Path(__file__).parents[2]
TARGET = 5.0  # per cent more than the engine alone, on a sweep of five minutes
STARTS = 16

Task = tuple[str, int, int, int, int, bool]


def measure(plan: Plan) -> list[Table]:
    settings = _settings(instances=4, sizes=[16, 24]) if plan.quick else _of_minutes(plan.minutes)
    sweep = _sweep(settings)
    cores = available_cores()
    bare = clock(lambda: _bare(sweep, cores, predicted=False))[0]
    predicted = clock(lambda: _bare(sweep, cores, predicted=True))[0]
    with tempfile.TemporaryDirectory() as scratch:
        project = _project(Path(scratch), settings)
        to_figures = _snakemake(project, cores, "results/bench/figures/success.png")
        to_all = to_figures + _snakemake(project, cores)
        rules = _rules(project / "results/bench/benchmarks")
    runs = sum(sum(sweep.instances_at(N).values()) * STARTS for N in sweep.N)
    table = Table(
        f"{runs:,} runs on {cores} cores: N = {sweep.N}, {len(sweep.alphas(sweep.N[0]))} alphas, "
        f"{sweep.instances} instances",
        "The engine alone in a pool of processes; then with the prediction of edge and outlier at every "
        "record, which the pipeline makes too; then the pipeline to the figure of the success curves, and "
        f"with the studies of scaling and fates. Target: at most {TARGET:g} per cent more on five minutes "
        "(`--minutes 5`).",
    )
    for name, seconds in (
        ("engine alone", bare),
        ("engine with predictions", predicted),
        ("pipeline to success figures", to_figures),
        ("pipeline, everything", to_all),
    ):
        more = 100 * (seconds / predicted - 1)
        table.rows.append({"": name, "seconds": seconds, "per cent more than with predictions": more})
    return [table, Table("Seconds of each Snakemake job", "As Snakemake measures them.", rules)]


def _settings(instances: int, sizes: list[int]) -> Row:
    return {
        "loss": {"kind": "normalised_quartic", "a": 0.01},
        "N": sizes,
        "alpha": [2.0, 2.5, 3.0, 3.5],
        "instances": instances,
        "starts": [{"kind": "random", "count": STARTS}],
        "t_max": 60,
        "seed": 3,
    }


def _of_minutes(minutes: float) -> Row:
    """A sweep that takes the engine alone about ``minutes`` here, estimated from one batch at every size."""
    sizes = [128, 256, 512]
    per_instance = 0.0
    sweep = _sweep(_settings(instances=4, sizes=sizes))
    for N in sizes:
        for M in sweep.measurements(N):
            task = (sweep.model_dump_json(), N, M, 0, 4, True)
            per_instance += clock(lambda task=task: _run(task))[0] / 4
    instances = max(8, round(60 * minutes * available_cores() / per_instance))
    return _settings(instances, sizes)


def _sweep(settings: Row) -> Sweep:
    return load_sweep({"sweep": "bench", "sweeps": {"bench": settings}})


def _bare(sweep: Sweep, cores: int, predicted: bool) -> None:
    tasks: list[Task] = []
    for N in sweep.N:
        size = instances_per_block(N, sweep.measurements(N), STARTS)
        for M in sweep.measurements(N):
            tasks += [
                (sweep.model_dump_json(), N, M, first, min(first + size, sweep.instances), predicted)
                for first in range(0, sweep.instances, size)
            ]
    tasks.sort(key=lambda task: -task[1] * task[2])
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
            assert sum(pool.map(_run, tasks)) == sum(
                sum(sweep.instances_at(N).values()) * STARTS for N in sweep.N
            )
    finally:
        del os.environ["OPENBLAS_NUM_THREADS"]
        if before is not None:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def _run(task: Task) -> int:
    specification, N, M, first, last, predicted = task
    sweep = Sweep.model_validate_json(specification)
    problems = [pp.Problem.draw(N, M / N, sweep.seed, number) for number in range(first, last)]
    starts = [pp.starts.random(problem, STARTS, sweep.seed) for problem in problems]
    loss = sweep.loss.build()
    protocol = sweep.protocol()
    if predicted:
        protocol = replace(protocol, predictor=LabelPredictor(loss, N))
    outcomes = run_batch(problems, loss, starts, protocol)["outcome"].values
    return int(np.count_nonzero(outcomes != pp.Outcome.PENDING))


def _project(folder: Path, settings: Row) -> Path:
    (folder / "config").mkdir()
    for name in ("Snakefile", "workflow"):
        (folder / name).symlink_to(ROOT / name)
    content = {"sweep": "bench", "sweeps": {"bench": settings}}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(content))
    return folder


def _snakemake(project: Path, cores: int, *targets: str) -> float:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), *targets]

    def run() -> None:
        done = subprocess.run(
            command,
            cwd=project,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"snakemake failed:\n{done.stdout}{done.stderr}")

    return clock(run)[0]


def _rules(folder: Path) -> list[Row]:
    return [
        {"job": file.stem, "seconds": float(pd.read_csv(file, sep="\t")["s"].iloc[0])}
        for file in sorted(folder.glob("*.tsv"))
    ]
