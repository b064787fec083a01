"""Command line: each module defines one or two commands; :func:`main` is the entry point.

Command modules import at the top only what the help text needs, and import the rest inside their functions,
so that ``phasepipe --help`` does not load NumPy.
"""

from __future__ import annotations

import io
import sys

import typer

from phasepipe.cli.check import check, print_schema, sweeps
from phasepipe.cli.cluster import cluster
from phasepipe.cli.compare import compare
from phasepipe.cli.export import export
from phasepipe.cli.init import init
from phasepipe.cli.log import log
from phasepipe.cli.reduce import reduce
from phasepipe.cli.refine import refine
from phasepipe.cli.run import HandsOver, run
from phasepipe.cli.status import status
from phasepipe.cli.theory import phase_diagram, theory
from phasepipe.cli.verify import verify
from phasepipe.errors import UserError, reason_of

app = typer.Typer(
    help="At which signal-to-noise ratio does gradient descent recover the signal?", no_args_is_help=True
)
app.command()(init)
app.command(cls=HandsOver)(run)
app.command()(check)
app.command()(sweeps)
app.command()(status)
app.command()(verify)
app.command()(log)
app.command()(compare)
app.command()(export)
app.command()(refine)
app.command()(reduce)
app.command()(theory)
app.command()(phase_diagram)
app.command()(cluster)
app.command(name="schema")(print_schema)


def main() -> None:
    """Entry point; an error that the user can fix gives one sentence on standard error and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text
    try:
        app()
    except UserError as error:
        sys.exit(f"phasepipe: {error}")
    except OSError as error:  # of a file or folder that no command has looked at
        name = "" if error.filename is None else f"{error.filename} cannot be read or written: "
        sys.exit(f"phasepipe: {name}{reason_of(error)}")
