"""``phasepipe run``: a sweep from its file to stores, tables, figures and a report."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from phasepipe.cli.check import describe
from phasepipe.cli.options import Words

_FURTHER = "phasepipe.further"


class HandsOver(TyperCommand):
    """A command that keeps the words after ``--`` for Snakemake."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words before ``--``."""
        before, after = (
            (args[: args.index("--")], args[args.index("--") + 1 :]) if "--" in args else (args, [])
        )
        ctx.meta[_FURTHER] = after
        return super().parse_args(ctx, before)


def run(
    context: typer.Context,
    words: Words = None,
    cores: Annotated[
        str | None,
        typer.Option(metavar="N|all", help="Processor cores; default: what the profile says, local: all."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would be done.")] = False,
    until: Annotated[str | None, typer.Option(metavar="RULE", help="Last rule to run.")] = None,
    profile: Annotated[
        str,
        typer.Option(
            metavar="NAME|FOLDER", help="Profile of Snakemake: local, slurm, or a folder of your own."
        ),
    ] = "local",
    results: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Folder of results; default: the key results, or ./results."),
    ] = None,
) -> None:
    """Run a sweep, or go on with it; words after -- are handed to Snakemake."""
    from phasepipe.execution.short_process import collect_rarely

    collect_rarely()
    from phasepipe.execution.workflow import WorkflowRun, run_workflow
    from phasepipe.specification.choice import choose
    from phasepipe.specification.configuration import load_configuration

    choice = choose(words or ())
    overrides = choice.overrides | ({} if results is None else {"results": results})
    loaded = load_configuration(choice.files, overrides)
    asked = WorkflowRun(
        loaded.files,
        loaded.sweep.name,
        None if results is None else loaded.results,
        cores,
        profile,
        until,
        dry_run,
        context.meta[_FURTHER],
    )
    describe(loaded)
    run_workflow(asked)
    folder = loaded.results / loaded.sweep.name
    if not dry_run and (folder / "report.html").exists():
        typer.echo(f"wrote {folder}/report.html; ask the data with phasepipe.open_sweep({str(folder)!r})")
