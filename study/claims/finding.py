"""The answer to a claim: verdicts by stated criteria, the numbers behind them, and a figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from phasepipe.analysis.text import with_interval

# the tables of one reduced sweep by name, and all reduced sweeps by name
Tables = Mapping[str, xr.Dataset]
Sweeps = Mapping[str, Tables]


class Verdict(StrEnum):
    """What the data say."""

    CONFIRMED = "confirmed"
    NOT_CONFIRMED = "not confirmed"
    UNDECIDED = "not decidable at these N"
    NOT_RUN = "not run yet"

    @classmethod
    def of(cls, holds: bool | None) -> Verdict:
        """Confirmed or not; None where the data do not decide."""
        if holds is None:
            return cls.UNDECIDED
        return cls.CONFIRMED if holds else cls.NOT_CONFIRMED


@dataclass(frozen=True)
class Part:
    """One statement of a claim, the criterion it was held against, and what was found."""

    statement: str
    criterion: str
    verdict: Verdict
    found: str


@dataclass(frozen=True)
class Finding:
    """What the study says to one claim; ``tables`` are ready to be printed, by their captions."""

    parts: Sequence[Part]
    figure: Figure | None = None
    caption: str = ""
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The verdict of all parts together; where they differ, how many stand where."""
        verdicts = [part.verdict for part in self.parts]
        distinct = list(dict.fromkeys(sorted(verdicts, key=list(Verdict).index)))
        if len(distinct) == 1:
            return str(distinct[0])
        return "; ".join(f"{verdicts.count(verdict)} of {len(verdicts)} {verdict}" for verdict in distinct)


def available(sweeps: Sweeps, names: Sequence[str], tables: Sequence[str]) -> dict[str, Tables]:
    """Those of the named sweeps that are there with all of these tables."""
    return {name: sweeps[name] for name in names if name in sweeps and set(tables) <= set(sweeps[name])}


def regulariser(tables: Tables) -> float:
    """``a`` of the normalised quartic loss of a sweep."""
    return float(tables["counts"].attrs["specification"]["loss"]["a"])


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """Rows of a table, their columns as attributes."""
    yield from table.itertuples()


def ranges(table: pd.DataFrame, digits: int = 3) -> list[str]:
    """Every row of a table of value, lower and upper end, as a value with its interval."""
    return [with_interval(value, low, high, digits) for value, low, high in table.to_numpy(float).tolist()]
