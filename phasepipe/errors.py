"""The root of all errors that a user can mend."""

from __future__ import annotations


class UserError(Exception):
    """Something a user can mend; the message is one sentence, shown without a stack trace."""


class ClusterError(UserError):
    """The cluster cannot be reached or started; the message says what to do."""


class SweepError(UserError, ValueError):
    """A sweep that cannot be run; the message is one sentence for the user."""
