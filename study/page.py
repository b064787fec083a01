"""Writes the page of the study: for every claim a verdict, numbers and a figure from the reduced sweeps."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from phasepipe.errors import UserError
from phasepipe.figures.style import paper_style
from phasepipe.log import logger
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import open_store
from study.claims import (
    control,
    dynamics,
    initial,
    initialisation,
    predicted,
    regularisers,
    shift,
    trap,
    universality,
    window,
)
from study.claims.finding import Finding, Part, Sweeps, Verdict
from study.literature import literature, protocols

PAGE = "study.md"
IMAGES = "images/study"
TABLES = ("theory", "counts", "recovery", "window", "decision", "fate", "course", "curvature", "success")


@dataclass(frozen=True)
class Claim:
    """A claim: number, file name of its figure, title, sweeps that test it, and the function that does so."""

    number: str
    name: str
    title: str
    sweeps: Sequence[str]
    assess: Callable[[Sweeps], Finding]


CLAIMS = (
    Claim("1", "initial", "The Hessian at a random start", initial.SWEEPS, initial.assess),
    Claim("2", "window", "The window and what comes after", window.SWEEPS, window.assess),
    Claim("3", "trap", "The trap above alpha_threshold", trap.SWEEPS, trap.assess),
    Claim("4", "shift", "The shift of alpha_50(N)", shift.SWEEPS, shift.assess),
    Claim("5", "starts", "Initialisation", initialisation.SWEEPS, initialisation.assess),
    Claim("6", "control", "Controls", (*control.SWEEPS, control.ZERO_SIGNAL), control.assess),
    Claim("7a", "universality", "Ensembles and label noise",
          (universality.REFERENCE, *universality.OTHERS), universality.assess),
    Claim("7b", "regulariser", "The regulariser a", regularisers.SWEEPS, regularisers.assess),
    Claim("8", "dynamics", "Dynamics for N to infinity", dynamics.SWEEPS, dynamics.assess),
    Claim("9", "predicted", "Success predicted without a fit", predicted.SWEEPS, predicted.assess),
)  # fmt: skip


class StudyError(UserError):
    """The page of the study cannot be written; the message gives the reason."""


def write_study(reference: Path, to: Path) -> None:
    """Fill ``study.md`` in ``to`` from the reduced sweeps in ``reference``, and draw ``images/study/*.png``.

    The text of claim 1 replaces the lines between ``<!-- claim 1 -->`` and ``<!-- end of claim 1 -->``. The
    markers ``verdicts``, ``literature``, ``protocol``, ``sentence`` and ``origin`` enclose the table of
    verdicts, what the seed paper states, its protocol beside ours, a sentence to quote, and the table of
    sweeps, code versions and machines. A claim without sweeps gets the verdict "not run yet".

    Parameters
    ----------
    reference
        Folder of the reduced sweeps.
    to
        Folder of the page.

    Raises
    ------
    StudyError
        If there are no reduced sweeps, if there is no page, or if the page lacks a marker.
    """
    page = to / PAGE
    if not page.exists():
        raise StudyError(f"{page} does not exist; pass the folder that contains {PAGE} as --to")
    sweeps = read_reduced(reference)
    text, rows = page.read_text(), []
    for claim in CLAIMS:
        logger.info("study: claim %s, %s", claim.number, claim.title)
        missing = [name for name in claim.sweeps if name not in sweeps]
        found = claim.assess(sweeps) if len(missing) < len(claim.sweeps) else Finding([])
        if found.figure is not None:
            (to / IMAGES).mkdir(parents=True, exist_ok=True)
            _save(found.figure, to / IMAGES / f"{claim.name}.png")
        verdict = found.verdict if found.parts else str(Verdict.NOT_RUN)
        incomplete = f" (without {', '.join(missing)}, not run yet)" if missing and found.parts else ""
        rows.append(
            {
                "claim": f"[{claim.number}. {claim.title}](#{_anchor(claim)})",
                "verdict": f"**{verdict}**{incomplete}",
                "core-minutes": _cost(claim, sweeps),
            }
        )
        text = filled(text, f"claim {claim.number}", _section(claim, found, missing))
    assessed = {
        claim.number: (f"[{claim.number}](#{_anchor(claim)})", row["verdict"].replace("*", ""), claim.sweeps)
        for claim, row in zip(CLAIMS, rows, strict=True)
    }
    text = filled(text, "literature", markdown(literature(assessed, sweeps)))
    text = filled(text, "protocol", markdown(protocols(sweeps)))
    sentence = shift.quotable(sweeps) if any(name in sweeps for name in shift.SWEEPS) else ""
    text = filled(text, "verdicts", markdown(pd.DataFrame(rows)))
    text = filled(text, "sentence", sentence or "Not run yet.")
    text = filled(text, "origin", markdown(_origins(sweeps)))
    page.write_text(text)


@paper_style()
def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path)


def read_reduced(reference: Path) -> dict[str, dict[str, xr.Dataset]]:
    """Load the tables of all reduced sweeps in a folder, by name of the sweep and of the table.

    Raises
    ------
    StudyError
        If there are no reduced sweeps.
    """
    folders = [SweepFolder(path) for path in sorted(reference.glob("*")) if path.is_dir()]
    sweeps = {
        folder.root.name: {
            name: open_store(folder.archive(name)).load() for name in TABLES if folder.archive(name).exists()
        }
        for folder in folders
    }
    sweeps = {name: tables for name, tables in sweeps.items() if "counts" in tables}
    if not sweeps:
        raise StudyError(
            f"{reference} contains no reduced sweeps; make them with phasepipe reduce results/study/* --to "
            f"{reference}"
        )
    return sweeps


def filled(text: str, name: str, content: str) -> str:
    """Return the page ``text`` with ``content`` between the markers ``name``.

    Raises
    ------
    StudyError
        If the page lacks these markers.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise StudyError(f"{PAGE} lacks the markers {begin} and {end}; insert them where the results belong")
    return f"{before}{begin}\n{content.strip()}\n{end}{after}"


def markdown(table: pd.DataFrame) -> str:
    """A table of text and numbers in Markdown; missing values become empty cells."""
    cells = table.astype(object).where(table.notna(), "")
    rows = [
        list(map(str, cells.columns)),
        ["---"] * len(cells.columns),
        *cells.astype(str).to_numpy().tolist(),
    ]
    rows = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _anchor(claim: Claim) -> str:
    heading = f"{claim.number}. {claim.title}".lower().replace(" ", "-")
    return re.sub(r"[^a-z0-9_-]", "", heading)


def _section(claim: Claim, found: Finding, missing: Sequence[str]) -> str:
    if not found.parts:
        return f"**Not run yet.** Missing: {', '.join(missing)}."
    lines = [f"**Verdict: {found.verdict}.**", ""]
    if missing:
        lines += [f"Not run yet: {', '.join(missing)}.", ""]
    if found.figure is not None:
        lines += [f"![{claim.title}]({IMAGES}/{claim.name}.png)", "", f"*{found.caption}*", ""]
    by_criterion: dict[str, list[Part]] = {}
    for part in found.parts:
        by_criterion.setdefault(part.criterion, []).append(part)
    for number, held in enumerate(by_criterion.values(), 1):
        lines += [
            f"* ({claim.number}.{number}) {part.statement}: **{part.verdict}**; {part.found}."
            for part in held
        ]
    criteria = [
        f"* ({claim.number}.{number}) {criterion}." for number, criterion in enumerate(by_criterion, 1)
    ]
    lines += ["", *_folded("Criteria of these verdicts", "\n".join(criteria))]
    for caption, table in found.tables.items():
        lines += ["", *_folded(caption, markdown(table))]
    return "\n".join(lines)


def _folded(title: str, content: str) -> list[str]:
    """Content behind a title to click on, in the HTML that both code hosts and the site render."""
    return ["<details>", f"<summary>{html.escape(title)}</summary>", "", content, "", "</details>"]


def _cost(claim: Claim, sweeps: Sweeps) -> str:
    """Core-minutes of the sweeps of a claim, and the claims before it that use the same sweeps."""
    runs = [sweeps[name]["counts"] for name in claim.sweeps if name in sweeps]
    before = CLAIMS[: CLAIMS.index(claim)]
    shared = [f"({other.number})" for other in before if set(other.sweeps) & set(claim.sweeps)]
    return _minutes(runs) + (f", partly those of {' and '.join(shared)}" if shared else "")


def _minutes(runs: Sequence[xr.Dataset]) -> str:
    """Core-minutes of sweeps together, a lower bound where those of some were not kept."""
    minutes = [counts.attrs["reduced"].get("core_minutes") for counts in runs]
    known = [of_sweep for of_sweep in minutes if of_sweep is not None]
    return f"{'' if len(known) == len(minutes) else '> '}{sum(known):.0f}" if known else "–"


def _origins(sweeps: Sweeps) -> pd.DataFrame:
    rows = []
    for name, tables in sweeps.items():
        counts = tables["counts"]
        versions, reduced = counts.attrs["package_versions"], counts.attrs["reduced"]
        rows.append(
            {
                "sweep": name,
                "runs": int(counts["runs"].sum()),
                "diverged": int(counts["diverged"].sum()),
                "computed": str(counts.attrs["asked_at"])[:10],
                "phasepipe": versions["phasepipe"],
                "numpy": versions["numpy"],
                "commit": reduced["commit"][:10],
                "machine": reduced["machine"],
                "core-minutes": _minutes([counts]),
            }
        )
    return pd.DataFrame(rows)
