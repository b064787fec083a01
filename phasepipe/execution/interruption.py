"""How a workflow and its scripts end when they are interrupted: quickly, and with one sentence.

Ctrl-C reaches the workflow and its scripts, ``kill`` only the process that it names, and after ``kill -9``
the workflow can say nothing. Snakemake waits for running scripts when it is told to end; here the workflow
tells them to end too.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from phasepipe.store.process import identity_of_this_process, is_gone

SENTENCE = "interrupted; finished blocks are stored; run the same command again to compute the others"

_VARIABLE = "PHASEPIPE_WORKFLOW"
_INTERVAL = 0.5  # seconds between checks of the workflow
_ONE_WISH = 30.0  # seconds within which further signals express the same wish to end
_SCRIPTS = ".snakemake/scripts/"  # where Snakemake puts the scripts that it starts

_received: list[int] = []


def end_workflow_on_signals() -> None:
    """Let SIGINT and SIGTERM end this workflow and its scripts, with one sentence as the last line."""
    if signal.getsignal(signal.SIGTERM) is _end_workflow:
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end_workflow)
    atexit.unregister(_say)
    atexit.register(_say)


def signal_received() -> int | None:
    """The first signal that asked this workflow to end, or None."""
    return _received[0] if _received else None


def _end_workflow(number: int, _: FrameType | None) -> None:
    _received.append(number)
    logging.disable(logging.CRITICAL)  # Snakemake would report every ended script as an error
    if len(_received) == 1:
        _end_scripts()
    raise KeyboardInterrupt


def _end_scripts() -> None:
    import psutil

    for child in psutil.Process().children(recursive=True):
        try:
            if any(_SCRIPTS in word for word in child.cmdline()):
                child.terminate()
        except psutil.Error:  # it has ended
            continue


def _say() -> None:
    if _received:
        print(f"phasepipe: {SENTENCE}", file=sys.stderr)


def workflow_variable() -> dict[str, str]:
    """Environment of a process that should end when this one has ended."""
    return {_VARIABLE: json.dumps({**identity_of_this_process(), "stderr": _standard_error()})}


def end_with_parent() -> None:
    """Send SIGTERM to this process when the one that :func:`workflow_variable` names to it has ended."""
    text = os.environ.get(_VARIABLE)
    if text:
        threading.Thread(target=_watch, args=(json.loads(text),), daemon=True).start()


def end_script_on_signals() -> None:
    """Raise KeyboardInterrupt, once, at SIGINT, SIGTERM, or when the workflow has ended."""
    last = float("-inf")

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # Ctrl-C is followed by the SIGTERM of the workflow, which must not disturb the end that has begun
        nonlocal last
        if time.monotonic() - last > _ONE_WISH:
            last = time.monotonic()
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    end_with_parent()


def workflow_speaks() -> bool:
    """Whether this script belongs to a living workflow that writes to the same terminal or file."""
    text = os.environ.get(_VARIABLE)
    if not text:
        return False
    workflow = json.loads(text)
    return workflow.get("stderr") == _standard_error() and not is_gone(workflow)


def _watch(workflow: dict[str, Any]) -> None:
    while not is_gone(workflow):
        time.sleep(_INTERVAL)
    os.kill(os.getpid(), signal.SIGTERM)


def _standard_error() -> list[int] | None:
    try:
        found = os.fstat(2)
    except OSError:
        return None
    return [found.st_dev, found.st_ino]
