"""Run the benchmarks and write their tables.

    python -m benchmarks.run [--only gradient,flow] [--quick] [--to FOLDER] [--minutes 5]

Other sections keep the results of their last run, and so does one that this machine has nothing for.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks import machine, report
from benchmarks.harness import Plan

SECTIONS = {
    "gradient": "Gradient evaluation",
    "flow": "Gradient flow, and its cost against N",
    "peers": "Against adaptive integrators",
    "baselines": "Against loops over single runs",
    "spectrum": "Against full diagonalisation",
    "fates": "Against a fixed step of 1e-3: evaluations to the same fate",
    "workers": "Two workers against one",
    "pipeline": "The whole pipeline against the bare engine",
    "regeneration": "Drawing the sensing matrix again",
    "store": "Writing chunks",
    "scheduler": "Ten thousand tasks through the scheduler",
    "gpu": "On a GPU",
}


def main() -> None:
    arguments = _parse()
    plan = Plan(arguments.quick, arguments.minutes)
    with threadpool_limits(limits=1):
        facts = machine.describe() | machine.peaks(plan.quick)
        sections = report.read(arguments.to)
        for name in arguments.only:
            print(f"{name} ...", file=sys.stderr, flush=True)
            before, load = time.perf_counter(), os.getloadavg()[0]
            tables = importlib.import_module(f"benchmarks.sections.{name}").measure(plan)
            if not tables:
                print(f"{name}: nothing to measure on this machine", file=sys.stderr)
                continue
            circumstances = {
                "seconds": time.perf_counter() - before,
                "load average": f"{load:.1f} before, {os.getloadavg()[0]:.1f} after",
                "commit": facts["commit"],
                "processor": facts["processor"],
            }
            if plan.quick:
                circumstances["size"] = "quick: proves that it runs, measures nothing well"
            sections[name] = report.section(SECTIONS[name], tables, circumstances)
            ordered = {key: sections[key] for key in SECTIONS if key in sections}
            report.write(arguments.to, facts, ordered)
    print(arguments.to / "results.md")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Run the benchmarks.")
    parser.add_argument(
        "--only", type=_names, default=list(SECTIONS), help=f"sections, of {', '.join(SECTIONS)}"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, single rounds")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent, help="folder of the results")
    parser.add_argument(
        "--minutes", type=float, default=1.0, help="length of the sweep of section pipeline (default 1)"
    )
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(f"no section {name!r}; take of {', '.join(SECTIONS)}")
    return names


if __name__ == "__main__":
    main()
