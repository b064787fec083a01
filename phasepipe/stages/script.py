"""What the scripts of the workflow share: from the snakemake object to a call of a stage."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from phasepipe.pipeline.configuration import load_sweep
from phasepipe.pipeline.errors import UserError
from phasepipe.pipeline.folders import SweepFolder
from phasepipe.pipeline.sweep import Sweep


@contextmanager
def one_sentence(log: Path) -> Iterator[None]:
    """Turn an error that a user can mend into one sentence, in the log too, and exit code 1."""
    try:
        yield
    except UserError as error:
        with log.open("a") as file:
            file.write(f"{error}\n")
        sys.exit(f"phasepipe: {error}")


def run_per_size(snakemake: Any, stage: Callable[[Sweep, int, SweepFolder, int, Path], None]) -> None:
    """Run a stage at the N of the job; the output is a receipt of what was asked for."""
    log = Path(snakemake.log[0])
    with one_sentence(log):
        sweep, folder = _sweep(snakemake)
        stage(sweep, int(snakemake.wildcards.N), folder, snakemake.threads, log)
        Path(snakemake.output[0]).write_text(json.dumps(snakemake.params.grid, indent=1) + "\n")


def run_whole(snakemake: Any, stage: Callable[[Sweep, SweepFolder, Path], None]) -> None:
    """Run a stage that covers all N and writes the files that the rule names."""
    log = Path(snakemake.log[0])
    with one_sentence(log):
        stage(*_sweep(snakemake), log)


def run_table(snakemake: Any, stage: Callable[[Sweep, SweepFolder, Path], None]) -> None:
    """Run a stage that writes a store over all N; the output is a receipt."""
    run_whole(snakemake, stage)
    Path(snakemake.output[0]).touch()


def _sweep(snakemake: Any) -> tuple[Sweep, SweepFolder]:
    sweep = load_sweep(snakemake.config, snakemake.wildcards.sweep)
    return sweep, SweepFolder(Path(snakemake.config.get("results", "results")) / sweep.name)
