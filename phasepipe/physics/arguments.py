"""Checks of the arguments of public functions: a mistake raises an error with one sentence.

NumPy integers are accepted. A bool is not accepted as a number, and 16.0 is not accepted as an integer,
because both are usually mistakes.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any


def require_integer(name: str, value: Any, least: int, example: int) -> int:
    """``value`` as an int of at least ``least``.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} = {value!r} is no integer; take for example {name} = {example}")
    if value < least:
        raise ValueError(f"{name} = {value} is too small; take an integer of at least {least}")
    return int(value)


def require_number(
    name: str, value: Any, example: float, *, above: float = -math.inf, below: float = math.inf
) -> float:
    """``value`` as a finite float strictly between ``above`` and ``below``.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is not finite or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} = {value!r} is no number; take for example {name} = {example:g}")
    number = float(value)
    if not (math.isfinite(number) and above < number < below):
        if above == 0 and below == math.inf:
            wanted = "is not a positive finite number"
        elif math.isinf(above) and math.isinf(below):
            wanted = "is not finite"
        else:
            wanted = f"lies outside ({above:g}, {below:g})"
        raise ValueError(f"{name} = {value!r} {wanted}; take for example {name} = {example:g}")
    return number
