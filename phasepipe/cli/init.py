"""``phasepipe init``: a first sweep to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phasepipe.errors import SweepError


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the file; it is made if it is missing.")] = Path(
        "."
    ),
) -> None:
    """Write sweep.yaml, a small sweep with every key explained; nothing is overwritten."""
    from phasepipe.specification.starter import starter_text

    path = folder / "sweep.yaml"
    text = starter_text()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:
            file.write(text)
    except FileExistsError as error:
        wrong = path if folder.is_dir() else folder
        raise SweepError(
            f"{wrong} is already there, and nothing is overwritten; choose another folder"
        ) from error
    except OSError as error:
        raise SweepError(f"{path} cannot be written ({error.strerror}); choose another folder") from error
    typer.echo(f"wrote {path}; edit it, then start it with: phasepipe run {path}")
