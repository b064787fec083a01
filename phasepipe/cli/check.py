"""``phasepipe check``, ``sweeps`` and ``schema``: commands that only read the configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from phasepipe.cli.options import Config, chosen


def check(
    sweep: Annotated[
        str | None, typer.Argument(help="Sweep to check; default: the key sweep of the file.")
    ] = None,
    config: Config = Path("config/config.yaml"),
) -> None:
    """Check a sweep of the configuration without running anything."""
    from phasepipe.specification.configuration import load_configuration
    from phasepipe.store.folder import check_folder

    loaded = load_configuration([config], chosen(sweep))
    check_folder(loaded.sweep, loaded.results)
    runs, sizes = loaded.sweep.run_count(), loaded.sweep.N
    typer.echo(f"sweep {loaded.sweep.name!r} is valid: {runs} runs at N = {sizes}")


def sweeps(config: Config = Path("config/config.yaml")) -> None:
    """Check all sweeps of the configuration and list them, one per line."""
    from phasepipe.specification.configuration import load_sweep, read_configuration

    content = read_configuration(config)
    load_sweep(content)
    for name in content["sweeps"]:
        typer.echo(load_sweep(content, name).name)


def print_schema() -> None:
    """Print the JSON schema of the configuration file."""
    from phasepipe.specification.configuration import schema

    typer.echo(json.dumps(schema(), indent=2))
