"""Time and memory of questions and commands to a sweep of a million runs.

The sweep has the layout, blocks and codecs of the real stage. Fates and times are random with known success
curves, so the correct answers are known. Every query runs in a new process; its memory includes the imports,
its time does not. The files are in the page cache, so the speed of the disk does not matter.

    python benchmarks/query.py [--runs 1000000] [--to FOLDER]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from scipy.special import expit

from phasepipe.physics.outcomes import Outcome
from phasepipe.specification.configuration import load_sweep
from phasepipe.specification.sweep import Sweep
from phasepipe.stages import instances
from phasepipe.stages.runs import layout
from phasepipe.store.block_store import BlockStore, write_block
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Block, Layout
from phasepipe.store.packing import Packer, pack
from phasepipe.store.unpacked import remove_drafts

SIZES = (64, 128, 256, 512)
STARTS = 25
CENTRE, WIDTH = 2.9, 0.25  # of the success curve in alpha, at every N
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
result = {"open": opened - began, "ask": ended - opened, "base_MB": before / 1e3}
result["peak_MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
if "success()" in question:
    result["p"] = answer["p"].values.tolist()
    result["n"] = int(answer["n"].sum())
print(json.dumps(result))
"""


def settings(runs: int) -> dict:
    """A sweep of about ``runs`` runs: 4 N, 25 alphas, 25 starts, and as many instances as necessary."""
    sweep = {
        "loss": {"kind": "normalised_quartic", "a": 0.01},
        "N": list(SIZES),
        "alpha": {"start": 1.7, "stop": 4.1, "step": 0.1},
        "instances": max(1, round(runs / (len(SIZES) * 25 * STARTS))),
        "starts": [{"kind": "random", "count": STARTS}],
        "t_max": 100,
    }
    return {"sweep": "million", "sweeps": {"million": sweep}}


def planted(alpha: float) -> float:
    return float(expit((alpha - CENTRE) / WIDTH))


def write(sweep: Sweep, folder: SweepFolder) -> int:
    """Write all blocks of all N, as workers and stages do; return the number of blocks of runs."""
    rng, total = np.random.default_rng(0), 0
    for N in sweep.N:
        for stage, plan in (("instances", instances.layout(sweep, N)), ("runs", layout(sweep, N))):
            store = BlockStore.prepare(folder.store(stage, N), sweep, plan)
            packer = Packer([store.path])
            for block in store.pending_blocks():
                values = _numbers(plan, block, rng)
                write_block(store.path, block, values | (_fates(block, rng) if stage == "runs" else {}))
                packer()
                total += stage == "runs"
            pack(store.path)
            remove_drafts(store.path)
    return total


def _numbers(plan: Layout, block: Block, rng: np.random.Generator) -> dict[str, np.ndarray]:
    values = {}
    for name, variable in plan.variables.items():
        if "snapshot_instance" not in variable.dims:
            shape = [plan.sizes[dimension] for dimension in variable.dims[block.todo.ndim :]]
            numbers = rng.standard_normal((block.count, *shape), np.float32)
            values[name] = np.abs(numbers).astype(variable.dtype)
    return values


def _fates(block: Block, rng: np.random.Generator) -> dict[str, np.ndarray]:
    recovered = rng.random(block.count) < planted(float(block.keys["alpha"][0]))
    ends = rng.uniform(1, 100, block.count)
    outcomes = np.where(recovered, Outcome.RECOVERED, Outcome.TRAPPED).astype(np.uint8)
    return {"outcome": outcomes, "end_time": ends, "recovery_time": np.where(recovered, ends, np.nan)}


def ask(folder: Path, question: str) -> dict:
    """Run a query in a new process and return its measurements."""
    result = subprocess.run(
        [sys.executable, "-c", ASK, str(folder), question], check=True, capture_output=True, text=True
    )
    return json.loads(result.stdout)


def timed(folder: Path, *arguments: str) -> str:
    """Wall and processor seconds of a command of phasepipe, with the processes that it starts."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "phasepipe", *arguments], cwd=folder, check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{time.perf_counter() - began:9.2f}{spent:9.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument(
        "--to", type=Path, help="results folder to keep and reuse; default a temporary folder"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        content = settings(arguments.runs)
        sweep = load_sweep(content)
        results = (arguments.to or Path(scratch) / "results").absolute()
        folder = SweepFolder(results / sweep.name)
        began = time.perf_counter()
        blocks = write(sweep, folder)
        if blocks:
            print(f"{blocks} blocks written in {time.perf_counter() - began:.0f} s")
        print(f"{'question':26}{'open, s':>9}{'ask, s':>9}{'imports, MB':>13}{'peak, MB':>10}")
        for name, question in QUESTIONS.items():
            result = ask(folder.root, question)
            numbers = (
                f"{result['open']:9.2f}{result['ask']:9.2f}{result['base_MB']:13.0f}{result['peak_MB']:10.0f}"
            )
            print(f"{name:26}{numbers}", flush=True)
            if "p" in result:
                alphas = np.array(sorted(set(sweep.measurements(512)))) / 512
                found, true = np.array(result["p"][-1]), np.array([planted(alpha) for alpha in alphas])
                found = found[np.isfinite(found)]
                print(
                    f"  {result['n']} runs; largest |P - planted| at N = 512: {abs(found - true).max():.4f}"
                )
        entries = list(folder.root.rglob("*"))
        files = sum(entry.is_file() for entry in entries)
        print(f"{files} files, {len(entries) - files} folders")
        (Path(scratch) / "sweep.yaml").write_text(yaml.safe_dump(content))
        run = ("run", "sweep.yaml", "--results", str(results), "--cores", "2", "--", "--until", "run_descent")
        print(f"{'command':26}{'wall, s':>9}{'CPU, s':>9}")
        print(f"{'status':26}{timed(Path(scratch), 'status', str(folder.root))}", flush=True)
        for receipt in (folder.root / "runs").glob("*.done"):
            receipt.unlink()
        for name in ("run, every block looked at", "run, nothing to do"):
            print(f"{name:26}{timed(Path(scratch), *run)}", flush=True)


if __name__ == "__main__":
    main()
