"""``phasepipe cluster``: keep a Dask cluster running for a whole workflow."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from phasepipe.cli.options import Config, Words, load
from phasepipe.errors import SweepError


def cluster(
    scheduler_file: Annotated[Path, typer.Option(help="File to write the scheduler address to.")],
    words: Words = None,
    config: Config = None,
) -> None:
    """Keep the Dask cluster of a sweep running for a whole workflow, until interrupted."""
    from phasepipe.execution.cluster import connect, write_scheduler_file
    from phasepipe.specification.cluster import SchedulerAddress, SchedulerFile

    specification = load(words, config).sweep.cluster
    if isinstance(specification, SchedulerFile | SchedulerAddress):
        raise SweepError(
            f"cluster.kind = {specification.kind} refers to an existing cluster; "
            "phasepipe cluster needs local or slurm"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # treat SIGTERM like Ctrl-C
    with connect(specification) as client:
        write_scheduler_file(client, scheduler_file)
        typer.echo(f"cluster is running, scheduler file {scheduler_file}; stop it with Ctrl-C")
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            typer.echo("stopping the cluster")
        finally:
            scheduler_file.unlink(missing_ok=True)
