"""``phasepipe cluster``: workers for a whole workflow run."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from phasepipe.cli.options import Config, chosen
from phasepipe.errors import SweepError


def cluster(
    scheduler_file: Annotated[Path, typer.Option(help="File that tells clients where the scheduler is.")],
    sweep: Annotated[str | None, typer.Argument(help="Sweep whose cluster section is started.")] = None,
    config: Config = Path("config/config.yaml"),
) -> None:
    """Hold a Dask cluster open for a whole workflow run, until interrupted."""
    from phasepipe.execution.cluster import connect, write_scheduler_file
    from phasepipe.specification.cluster import SchedulerAddress, SchedulerFile
    from phasepipe.specification.configuration import load_configuration

    specification = load_configuration([config], chosen(sweep)).sweep.cluster
    if isinstance(specification, SchedulerFile | SchedulerAddress):
        raise SweepError(
            f"cluster.kind = {specification.kind} names a cluster that somebody else holds open; "
            "take local or slurm for phasepipe cluster"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is as good as Ctrl-C
    with connect(specification) as client:
        write_scheduler_file(client, scheduler_file)
        typer.echo(f"cluster is open, scheduler file {scheduler_file}; end it with Ctrl-C")
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            typer.echo("closing the cluster")
        finally:
            scheduler_file.unlink(missing_ok=True)
