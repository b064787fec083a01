"""Calls a stage from a script of the workflow and turns errors into one sentence."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from phasepipe.errors import UserError
from phasepipe.execution.interruption import SENTENCE, end_script_on_signals, workflow_speaks
from phasepipe.execution.receipts import write_receipts
from phasepipe.execution.short_process import end_job
from phasepipe.specification.configuration import load_sweep
from phasepipe.specification.sweep import Sweep
from phasepipe.store.folder import SweepFolder
from phasepipe.store.rounds import grown_sweep


@contextmanager
def one_sentence(log: Path) -> Iterator[None]:
    """Turn an error that the user can fix into one sentence on standard error and in the log; exit with 1.

    This covers user errors, disk errors, Zarr chunks with a wrong checksum, Ctrl-C and SIGTERM. The script
    also receives SIGTERM when the workflow that started it has ended.
    """
    end_script_on_signals()
    logging.raiseExceptions = False  # a log that cannot be written must not print a traceback
    try:
        yield
    except KeyboardInterrupt:
        _end(log, SENTENCE, silent=workflow_speaks())
    except UserError as error:
        _end(log, str(error))
    except OSError as error:
        what = f"{error.strerror or error}: {error.filename or 'a file of the results'}"
        _end(
            log,
            f"{what}; finished blocks are stored; solve the problem with the disk, then run the same command "
            "again",
        )
    except ValueError as error:
        if "checksum" not in str(error):
            raise
        _end(
            log,
            f"a stored chunk is damaged ({error}); run phasepipe verify on the results folder, then the same "
            "command again",
        )


def _end(log: Path, sentence: str, silent: bool = False) -> None:
    # the log may be on the full disk
    with suppress(OSError), log.open("a") as file:
        file.write(f"{sentence}\n")
    sys.exit(1 if silent else f"phasepipe: {sentence}")


def run_blocks(snakemake: Any, stage: Callable[[Sweep, SweepFolder, int, Path], None]) -> NoReturn:
    """Run a stage that computes in blocks; the output at each N is a receipt of what was requested.

    Ends the process, as :func:`run_stages` does.
    """
    log = Path(snakemake.log[0])
    with one_sentence(log):
        sweep, folder = _asked(snakemake)
        # the rounds that a stage adds here are in the grid of its receipts
        stage(grown_sweep(sweep, folder), folder, snakemake.threads, log)
        grown = grown_sweep(sweep, folder)
        write_receipts([*map(Path, snakemake.output)], [grown.grid_key(N) for N in grown.N])
    end_job()


def run_stages(snakemake: Any, *stages: Callable[[Sweep, SweepFolder, Path], None]) -> NoReturn:
    """Run stages that cover all N, one after the other, in this process, and end it.

    Stages write the output files of the rule themselves, except for the receipts of tables, two for each.

    A rule without inputs may run before the rounds that the key ``precision`` adds, or at the same time: it
    covers the grid that was asked for.
    """
    log = Path(snakemake.log[0])
    with one_sentence(log):
        sweep, folder = _asked(snakemake)
        covered = grown_sweep(sweep, folder) if snakemake.input else sweep
        for stage in stages:
            stage(covered, folder, log)
        grids = [covered.grid_key(N) for N in covered.N]
        receipts = [path for path in map(Path, snakemake.output) if path.suffix == ".done"]
        for pair in zip(receipts[::2], receipts[1::2], strict=True):
            write_receipts(pair, [grids])
    end_job()


def _asked(snakemake: Any) -> tuple[Sweep, SweepFolder]:
    """The sweep that the Snakefile has read and checked, and its folder."""
    sweep = load_sweep(snakemake.config, snakemake.wildcards.sweep, trust=True)
    return sweep, SweepFolder(Path(snakemake.config["results"]) / sweep.name)
