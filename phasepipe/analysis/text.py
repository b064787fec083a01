"""Format numbers, intervals and lists consistently for the report, the Markdown pages and the study."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

NONE = "–"


def number(value: float, digits: int | None = None) -> str:
    """A number as text.

    Parameters
    ----------
    value
        NaN becomes a dash, infinity the symbol with its sign.
    digits
        Decimals; by default three, or three significant digits for small and large numbers.
    """
    if np.isnan(value):
        return NONE
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if digits is None:
        text = f"{value:.3g}" if abs(value) < 0.1 or abs(value) >= 1000 else f"{value:.3f}"
    else:
        text = f"{value:.{digits}f}"
    return text.replace("-", "−")


def interval(low: float, high: float, digits: int | None = 3) -> str:
    """An interval for use in a sentence: ``2.31 to 2.38``."""
    return f"{number(low, digits)} to {number(high, digits)}"


def with_interval(value: float, low: float, high: float, digits: int | None = 3) -> str:
    """A value with its interval for use in a table: ``2.345 [2.310, 2.380]``.

    An unknown value with a bound on one side is given by its bound, ``> 2.310``; a value without any bound
    is a dash.
    """
    if np.isnan(value):
        if np.isfinite(low):
            return f"> {number(low, digits)}"
        return f"< {number(high, digits)}" if np.isfinite(high) else NONE
    if np.isnan(low) and np.isnan(high):
        return number(value, digits)
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def with_stored_interval(table: xr.Dataset, name: str) -> str:
    """The stored value ``name`` with its interval, ``name_lower`` to ``name_upper``, for use in a table."""
    value, low, high = (float(table[f"{name}{end}"]) for end in ("", "_lower", "_upper"))
    return with_interval(value, low, high)


def with_error(value: float, error: float, digits: int = 3) -> str:
    """A value with its standard error, if known, for use in a table: ``2.345 ± 0.020``."""
    if not np.isfinite(value):
        return NONE
    return number(value, digits) + (f" ± {number(error, digits)}" if np.isfinite(error) else "")


def enumerated(items: Iterable[str]) -> str:
    """A list in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    names = list(header)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
