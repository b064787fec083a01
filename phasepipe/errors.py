"""Base classes of the errors that a user can fix."""

from __future__ import annotations


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
