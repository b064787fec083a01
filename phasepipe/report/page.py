"""Writes ``report.html``: collects sentences, tables and figures and fills the template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import xarray as xr
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from phasepipe.errors import UserError
from phasepipe.log import logger, logging_to
from phasepipe.report import sentences, tables, thresholds
from phasepipe.report.explorer import explorer_data
from phasepipe.report.gallery import pictures
from phasepipe.specification.start_groups import start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.store.atomic import replace_bytes
from phasepipe.store.folder import SweepFolder
from phasepipe.store.provenance import provenance
from phasepipe.store.rounds import TABLE as ROUNDS
from phasepipe.store.tables import open_store, read_runs

VENDOR = Path(__file__).parent / "vendor"
NAME = "report.html"


class ReportError(UserError):
    """A result that the report needs is missing; the message names it."""


def write_report(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Write ``report.html`` into the folder of the sweep.

    Raises
    ------
    ReportError
        If a result is missing.
    """
    with logging_to(log):
        page = _environment().get_template("report.html.j2").render(_content(sweep, folder))
        target = folder.root / NAME
        replace_bytes(target, page.encode())
        logger.info("report: wrote %.1f MB to %s", target.stat().st_size / 1e6, target)


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("phasepipe.report"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _content(sweep: Sweep, folder: SweepFolder) -> dict[str, Any]:
    theory, success, scaling, fate = (
        _table(folder, name) for name in ("theory", "success", "scaling", "fate")
    )
    rounds = _table(folder, ROUNDS) if sweep.precision is not None else None
    runs = {N: read_runs(folder, sweep, N) for N in sorted(sweep.N)}
    known = {N: data[["outcome", "t_bbp"]].load() for N, data in runs.items()}
    groups = start_groups(sweep)
    first = {N: groups[0].select(data) for N, data in known.items()}
    return {
        "sweep": sweep,
        "version": provenance(sweep)["code_version"],
        "setting": sentences.setting(sweep),
        "fates": sentences.fates(known),
        "groups": [
            {
                "name": sentences.group_heading(group),
                "half": sentences.half_recovery(scaling.isel(start_group=group.position))
                + sentences.unlimited_time(scaling.isel(start_group=group.position)),
                "verdict": sentences.words(scaling.isel(start_group=group.position), "verdict"),
            }
            for group in groups
        ],
        "theory": thresholds.theory_sentences(theory),
        "rounds": str(rounds["conclusion"].item()) if rounds is not None else "",
        "flow": thresholds.flow_sentences(_table(folder, "flow_threshold")) if sweep.zero_signal else [],
        "windows": sentences.windows(first),
        "early": sentences.early_knowledge(fate),
        "caveats": sentences.caveats(sweep, theory, success, scaling),
        "pictures": pictures(folder.root / "figures", groups),
        "tables": [
            table
            for group in groups
            for table in (
                tables.success_rows(success.isel(start_group=group.position, budget=-1), group.name),
                tables.curve_rows(scaling.isel(start_group=group.position), group.name),
                tables.form_rows(scaling.isel(start_group=group.position), group.name),
            )
            if table is not None
        ]
        + ([tables.round_rows(rounds)] if rounds is not None else []),
        "stores": tables.provenance_rows(_stores(folder, sweep)),
        "versions": next(iter(runs.values())).attrs["package_versions"],
        "python": next(iter(runs.values())).attrs["python_version"],
        "specification": _as_yaml(sweep),
        # "</" would end the script element that contains the numbers
        "explorer": json.dumps(explorer_data(success, runs, groups), separators=(",", ":")).replace(
            "</", "<\\/"
        ),
        "uplot_js": (VENDOR / "uPlot.iife.min.js").read_text(),
        "uplot_css": (VENDOR / "uPlot.min.css").read_text(),
    }


def _table(folder: SweepFolder, name: str) -> xr.Dataset:
    path = folder.table(name)
    if not path.exists():
        raise ReportError(f"{path} is missing; run the sweep again with phasepipe run")
    return open_store(path).load()


def _stores(folder: SweepFolder, sweep: Sweep) -> dict[str, xr.Dataset]:
    """All stores of the sweep, by their path in the folder of the sweep."""
    paths = [folder.store("runs", N) for N in sorted(sweep.N)]
    tables_of_sweep = ["theory", "success", "scaling", "fate"]
    tables_of_sweep += ["flow_threshold"] if sweep.zero_signal else []
    tables_of_sweep += [ROUNDS] if sweep.precision is not None else []
    paths += [folder.table(name) for name in tables_of_sweep]
    return {path.relative_to(folder.root).as_posix(): open_store(path) for path in paths}


def _as_yaml(sweep: Sweep) -> str:
    """The sweep as a configuration file, without settings that have their default value.

    Its grid, which contains what the rounds of the key ``precision`` have added, stands for that key.
    """
    settings = sweep.model_dump(mode="json", exclude_defaults=True, exclude={"name", "cluster", "precision"})
    settings |= {"loss": sweep.loss.model_dump(mode="json"), "seed": sweep.seed, "t_max": sweep.t_max}
    settings["starts"] = [start.model_dump(mode="json") for start in sweep.starts]
    return yaml.safe_dump(
        {"sweep": sweep.name, "sweeps": {sweep.name: settings}},
        sort_keys=False,
        default_flow_style=None,
        width=100,
    )
