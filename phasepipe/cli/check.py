"""``phasepipe check``, ``sweeps`` and ``schema``: commands that only read the configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phasepipe.cli.options import Config, Trust, Words, load

if TYPE_CHECKING:
    from phasepipe.specification.configuration import LoadedConfiguration


def check(words: Words = None, config: Config = None, trust: Trust = False) -> None:
    """Check a sweep without running anything."""
    from phasepipe.specification.loss import foreign_code

    loaded = load(words, config, trust)
    code = foreign_code(loaded.sweep.loss)
    describe(loaded)
    if code:
        typer.echo(f"its loss was not checked: that would run the code of {code}; allow it with --trust")


def describe(loaded: LoadedConfiguration) -> None:
    """Say what a sweep asks for, after checking that its folder can take it."""
    from phasepipe.store.folder import check_folder

    check_folder(loaded.sweep, loaded.results)
    runs, sizes = loaded.sweep.run_count(), loaded.sweep.N
    wanted = loaded.sweep.precision
    rounds = (
        f", then rounds of at most {wanted.core_hours:g} core-hours until alpha_50 is known to "
        f"±{wanted.alpha_50:g} at N = {loaded.sweep.precise_sizes()}"
        if wanted
        else ""
    )
    typer.echo(
        f"sweep {loaded.sweep.name!r} is valid: {runs} runs at N = {sizes}{rounds} ({loaded.files[0]})"
    )


def sweeps(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Configuration file; default: those in the current folder, else the one of phasepipe itself."
        ),
    ] = None,
    config: Config = None,
) -> None:
    """Check all sweeps of the configuration and list them, one per line."""
    from phasepipe.specification.choice import local_files
    from phasepipe.specification.configuration import load_sweep, read_configuration
    from phasepipe.specification.shipped import shipped_configuration

    chosen = [path for path in (file, config) if path is not None]
    for path in chosen or local_files() or [shipped_configuration()]:
        content = read_configuration(path)
        load_sweep(content)
        for name in content["sweeps"]:
            typer.echo(load_sweep(content, name).name)


def print_schema() -> None:
    """Print the JSON schema of the configuration file."""
    from phasepipe.specification.configuration import schema

    typer.echo(json.dumps(schema(), indent=2))
