"""The result for a claim: verdicts according to stated criteria, the numbers for them, and a figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from phasepipe.analysis.text import with_interval

# tables of one reduced sweep by name, and reduced sweeps by name
Tables = Mapping[str, xr.Dataset]
Sweeps = Mapping[str, Tables]


class Verdict(StrEnum):
    """The verdict of the data on a statement."""

    CONFIRMED = "confirmed"
    NOT_CONFIRMED = "not confirmed"
    UNDECIDED = "not decidable at these N"
    NOT_RUN = "not run yet"

    @classmethod
    def of(cls, holds: bool | None) -> Verdict:
        """Confirmed or not confirmed; undecided if ``holds`` is None."""
        if holds is None:
            return cls.UNDECIDED
        return cls.CONFIRMED if holds else cls.NOT_CONFIRMED


@dataclass(frozen=True)
class Part:
    """One statement of a claim, the criterion of its verdict, the verdict, and the result in words."""

    statement: str
    criterion: str
    verdict: Verdict
    found: str


@dataclass(frozen=True)
class Finding:
    """Result for one claim; ``tables`` are the printed tables, by caption."""

    parts: Sequence[Part]
    figure: Figure | None = None
    caption: str = ""
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The common verdict of all parts, or the number of parts with each verdict."""
        verdicts = [part.verdict for part in self.parts]
        distinct = list(dict.fromkeys(sorted(verdicts, key=list(Verdict).index)))
        if len(distinct) == 1:
            return str(distinct[0])
        return "; ".join(f"{verdicts.count(verdict)} of {len(verdicts)} {verdict}" for verdict in distinct)


def available(sweeps: Sweeps, names: Sequence[str], tables: Sequence[str]) -> dict[str, Tables]:
    """The sweeps among ``names`` that exist and have all of these tables."""
    return {name: sweeps[name] for name in names if name in sweeps and set(tables) <= set(sweeps[name])}


def regulariser(tables: Tables) -> float:
    """``a`` of the normalised quartic loss of a sweep."""
    return float(tables["counts"].attrs["specification"]["loss"]["a"])


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """Iterate over the rows of a table, with columns as attributes."""
    yield from table.itertuples()


def ranges(table: pd.DataFrame, digits: int = 3) -> list[str]:
    """Format each row (value, lower end, upper end) as a value with its interval."""
    return [with_interval(value, low, high, digits) for value, low, high in table.to_numpy(float).tolist()]
