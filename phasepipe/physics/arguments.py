"""Checks of the arguments of public functions: a mistake raises an error with one sentence.

NumPy integers are accepted. A bool is not accepted as a number, and 16.0 is not accepted as an integer,
because both are usually mistakes.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasepipe.errors import shown


def require_integer(name: str, value: Any, least: int, example: int, most: float = math.inf) -> int:
    """``value`` as an int between ``least`` and ``most``.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} = {shown(value)} is no integer; take for example {name} = {example}")
    number = int(value)
    if number < least:
        raise ValueError(f"{name} = {shown(value)} is too small; take an integer of at least {least}")
    if number > most:
        raise ValueError(f"{name} = {shown(value)} is too large; take an integer of at most {most}")
    return number


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
        raise TypeError(f"{name} = {shown(value)} is no number; take for example {name} = {example:g}")
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not (math.isfinite(number) and above < number < below):
        if above == 0 and below == math.inf:
            wanted = "is not a positive finite number"
        elif math.isinf(above) and math.isinf(below):
            wanted = "is not finite"
        else:
            wanted = f"lies outside ({above:g}, {below:g})"
        raise ValueError(f"{name} = {shown(value)} {wanted}; take for example {name} = {example:g}")
    return number


def require_flag(name: str, value: Any) -> bool:
    """``value`` as a bool; text such as "no" would count as true.

    Raises
    ------
    TypeError
        If it is neither True nor False.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} = {shown(value)} is neither True nor False")
    return bool(value)


def require_reals(name: str, values: Any) -> NDArray[Any]:
    """``values`` as an array of real numbers, which may be NaN.

    Raises
    ------
    TypeError
        If they are no array of real numbers.
    """
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different length
        raise TypeError(f"{name} = {shown(values)} is no array; its rows differ in shape") from None
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} holds {array.dtype}; give an array of real numbers")
    return array
