"""The tables of the report, with all cells as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import xarray as xr

from phasepipe.analysis import rounds_text
from phasepipe.analysis.text import number, with_interval, with_stored_interval


@dataclass(frozen=True)
class Table:
    """A caption, a header and rows of text; the first column names the row."""

    caption: str
    header: list[str]
    rows: list[list[str]]


def success_rows(success: xr.Dataset, name: str) -> Table:
    """Success probability with its interval at the full time budget, one row per alpha, one column per N."""
    sizes = [int(N) for N in success["N"].values]
    rows = []
    for alpha in success["alpha"].values:
        cells = [success.sel(N=N, alpha=alpha) for N in sizes]
        shown = [
            with_interval(float(c["p"]), float(c["lower"]), float(c["upper"])) if int(c["n"]) else "–"
            for c in cells
        ]
        undecided = [f"{float(c['undecided_share']):.1%}" if int(c["n"]) else "–" for c in cells]
        rows.append([f"{alpha:.4g}", *shown, " / ".join(undecided)])
    header = ["alpha", *(f"P at N = {N}" for N in sizes), "share undecided, by N"]
    return Table(f"Success probability with 95 % confidence interval, {name}", header, rows)


def curve_rows(scaling: xr.Dataset, name: str) -> Table | None:
    """alpha_50 and width of the success curve of every N."""
    if "alpha_50" not in scaling:
        return None
    rows = []
    for N in scaling["N"].values:
        at = scaling.sel(N=N)
        rows.append(
            [
                str(N),
                with_stored_interval(at, "alpha_50"),
                with_stored_interval(at, "width"),
                number(float(at["correlation"]), 3),
                str(at["status"].item()),
            ]
        )
    header = ["N", "alpha_50", "width between quartiles", "intraclass correlation of starts", "fit"]
    return Table(f"Success curves, {name}", header, rows)


def form_rows(scaling: xr.Dataset, name: str) -> Table | None:
    """Fitted forms of the approach to the limit N to infinity."""
    if "limit" not in scaling:
        return None
    rows = []
    for form in scaling["form"].values:
        at = scaling.sel(form=form)
        rows.append(
            [
                str(form).replace("_", " "),
                with_stored_interval(at, "limit"),
                f"{float(at['chi2']):.2f} / {float(at['degrees_of_freedom']):.0f}",
                number(float(at["form_goodness"]), 3),
                number(float(at["weight"]), 2),
            ]
        )
    header = ["form", "limit of alpha_50", "chi-squared / degrees of freedom", "p value", "AICc weight"]
    return Table(f"Extrapolation to N = infinity, {name}", header, rows)


def round_rows(rounds: xr.Dataset) -> Table:
    """What every round of the key ``precision`` added, and alpha_50 afterwards."""
    header, rows = rounds_text.round_rows(rounds)
    wanted = f"±{float(rounds['wanted']):g} is wanted"
    return Table(f"Rounds that the sweep added to its grid (round 0): {wanted}", header, rows)


def provenance_rows(stores: Mapping[str, xr.Dataset]) -> Table:
    """Hash of the settings, version of the code and time of creation of every store."""
    rows = [
        [
            path,
            str(store.attrs.get("specification_hash", "–")),
            str(store.attrs.get("code_version", "–")),
            str(store.attrs.get("created", "–")),
        ]
        for path, store in stores.items()
    ]
    return Table("Stores", ["store", "hash of the settings", "phasepipe", "created"], rows)
