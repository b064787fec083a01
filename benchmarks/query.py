"""What it costs to ask a sweep of a million runs: opening it, P(recovery), alpha_50, one trajectory.

The sweep is written with the layout, blocks and codecs of the real stage; fates and times are drawn from
curves that are known, and so are the answers. Every question is put in a fresh process, imports included in
the memory and left out of the seconds; the files were just written, so that the disk is not measured.

    python benchmarks/query.py [--runs 1000000] [--to FOLDER]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.special import expit

from phasepipe.physics.outcomes import Outcome
from phasepipe.specification.configuration import load_sweep
from phasepipe.specification.sweep import Sweep
from phasepipe.stages import instances
from phasepipe.stages.runs import layout
from phasepipe.store.block_store import BlockStore, write_block
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Block

SIZES = (64, 128, 256, 512)
STARTS = 25
CENTRE, WIDTH = 2.9, 0.25  # of the planted rise in alpha, at every N
QUESTIONS = {
    "open_sweep": "tree",
    "success": "tree.phase.success()",
    "success within T = 10": "tree.phase.success(T=10)",
    "alpha_50": "tree.phase.alpha_50()",
    "trapped runs of one cell": "tree.phase.runs(512, alpha, outcome='trapped')",
    "one trajectory": "tree.phase.trajectory(512, alpha, 0, 0)",
    "table of all runs": "tree.phase.to_dataframe()",
}
ASK = """
import json, resource, sys, time
import numpy as np
import phasepipe as pp
import phasepipe.results
folder, question = sys.argv[1:]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
tree = pp.open_sweep(folder)
opened = time.perf_counter()
alpha = float(tree["runs/N512"]["alpha"][10])
answer = eval(question)
ended = time.perf_counter()
said = {"open": opened - began, "ask": ended - opened, "base_MB": before / 1e3}
said["peak_MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
if "success()" in question:
    said["p"] = answer["p"].values.tolist()
    said["n"] = int(answer["n"].sum())
print(json.dumps(said))
"""


def planned(runs: int) -> Sweep:
    """A sweep of about so many runs: 4 N, 25 alphas, 25 starts, and the instances that it takes."""
    settings = {
        "loss": {"kind": "normalised_quartic", "a": 0.01},
        "N": list(SIZES),
        "alpha": {"start": 1.7, "stop": 4.1, "step": 0.1},
        "instances": max(1, round(runs / (len(SIZES) * 25 * STARTS))),
        "starts": [{"kind": "random", "count": STARTS}],
        "t_max": 100,
    }
    return load_sweep({"sweep": "million", "sweeps": {"million": settings}})


def planted(alpha: float) -> float:
    return float(expit((alpha - CENTRE) / WIDTH))


def write(sweep: Sweep, folder: SweepFolder) -> int:
    """Write all blocks of all N, instances without content; return the number of blocks."""
    rng, total = np.random.default_rng(0), 0
    for N in sweep.N:
        BlockStore.prepare(folder.store("instances", N), sweep, instances.layout(sweep, N))
        plan = layout(sweep, N)
        store = BlockStore.prepare(folder.store("runs", N), sweep, plan)
        for block in store.pending_blocks():
            write_block(store.path, block, _values(plan, block, rng))
            total += 1
    return total


def _values(plan, block: Block, rng: np.random.Generator) -> dict[str, np.ndarray]:
    values = {}
    for name, variable in plan.variables.items():
        if "snapshot_instance" not in variable.dims:
            shape = (block.count, *(plan.sizes[dimension] for dimension in variable.dims[3:]))
            values[name] = rng.standard_normal(shape, np.float32).astype(variable.dtype)
    recovered = rng.random(block.count) < planted(float(block.keys["alpha"][0]))
    ends = rng.uniform(1, 100, block.count)
    values["outcome"] = np.where(recovered, Outcome.RECOVERED, Outcome.TRAPPED).astype(np.uint8)
    values["end_time"] = ends.astype(values["end_time"].dtype)
    values["recovery_time"] = np.where(recovered, values["end_time"], np.nan).astype(
        values["recovery_time"].dtype
    )
    return values


def ask(folder: Path, question: str) -> dict:
    """Put a question in a process of its own."""
    said = subprocess.run(
        [sys.executable, "-c", ASK, str(folder), question], check=True, capture_output=True, text=True
    )
    return json.loads(said.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--to", type=Path, help="results folder to keep and reuse; default a scratch one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sweep = planned(arguments.runs)
        folder = SweepFolder((arguments.to or Path(scratch)) / sweep.name)
        began = time.perf_counter()
        blocks = write(sweep, folder)
        if blocks:
            print(f"{blocks} blocks written in {time.perf_counter() - began:.0f} s")
        print(f"{'question':26}{'open, s':>9}{'ask, s':>9}{'imports, MB':>13}{'peak, MB':>10}")
        for name, question in QUESTIONS.items():
            said = ask(folder.root, question)
            numbers = f"{said['open']:9.2f}{said['ask']:9.2f}{said['base_MB']:13.0f}{said['peak_MB']:10.0f}"
            print(f"{name:26}{numbers}", flush=True)
            if "p" in said:
                alphas = np.array(sorted(set(sweep.measurements(512)))) / 512
                found, true = np.array(said["p"][-1]), np.array([planted(alpha) for alpha in alphas])
                found = found[np.isfinite(found)]
                print(f"  {said['n']} runs; largest |P - planted| at N = 512: {abs(found - true).max():.4f}")


if __name__ == "__main__":
    main()
