"""Base classes of the errors that a user can fix, and how their messages show a value or a reason."""

from __future__ import annotations

_WIDEST = 60  # maximal number of characters of a value in a message


class UserError(Exception):
    """An error that the user can fix; the message is one sentence, shown without a stack trace."""


class ClusterError(UserError):
    """The cluster cannot be reached or started; the message says what to do."""


class SweepError(UserError, ValueError):
    """The configuration of a sweep is invalid; the message names the key, its value and the remedy."""


def reason_of(error: Exception) -> str:
    """What the system says, in one line; some libraries give a text of their own."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(said.split())


def shown(value: object) -> str:
    """A value as messages show it: in one line, and shortened."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python refuses to print integers with thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
