"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Option(help="Configuration file.")]


def chosen(sweep: str | None) -> dict[str, str]:
    """Override of the configuration for a sweep named on the command line."""
    return {} if sweep is None else {"sweep": sweep}
