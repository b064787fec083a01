"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from phasepipe.specification.configuration import LoadedConfiguration

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE] [SWEEP]",
        help="Configuration file, which ends in .yaml, and name of a sweep. Default: sweep.yaml or "
        "config/config.yaml in the current folder, and the sweep that its key sweep names.",
    ),
]
Config = Annotated[Path | None, typer.Option(help="Configuration file, instead of FILE.")]
Trust = Annotated[bool, typer.Option("--trust", help="Run the code of a custom loss that the sweep names.")]


def load(words: list[str] | None, config: Path | None, trust: bool = False) -> LoadedConfiguration:
    """The checked sweep that a command line means."""
    from phasepipe.specification.choice import choose
    from phasepipe.specification.configuration import load_configuration

    choice = choose(words or (), config)
    return load_configuration(choice.files, choice.overrides, trust)
