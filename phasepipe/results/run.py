"""Compute a sweep from Python, in a process of its own, with the same workflow as ``phasepipe run``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phasepipe.errors import SweepError, UserError, shown
from phasepipe.execution.cluster import write_scheduler_file
from phasepipe.execution.credentials import Credentials
from phasepipe.execution.interruption import workflow_variable
from phasepipe.execution.progress import Reporter, reporting
from phasepipe.execution.workflow import WorkflowRun
from phasepipe.results.tree import open_sweep
from phasepipe.specification.configuration import load_configuration
from phasepipe.store.folder import check_folder

if TYPE_CHECKING:
    import xarray as xr
    from distributed import Client

_STEPS = re.compile(r"total +(\d+)$")  # in Snakemake's list of jobs


class WorkflowFailedError(UserError):
    """The workflow has ended without completing the sweep; the message is its reason."""


def sweep(
    *,
    name: str = "sweep",
    results: str | Path = "results",
    client: Client | None = None,
    cores: int | None = None,
    **keys: Any,
) -> xr.DataTree:
    """Compute a sweep, or what is missing of it, and open it.

    Everything is checked before anything runs. Interrupted, the same call goes on where it was.

    Parameters
    ----------
    name
        Name of the sweep, and of its folder in ``results``.
    results
        Folder of results.
    client
        Client of a running Dask cluster; default: a local cluster with one process per core.
    cores
        Processor cores to use on this machine; default: all.
    **keys
        The keys of a sweep as in its YAML file: ``loss``, ``N``, ``alpha``, ``instances``, ``starts``, and
        those with defaults. Arrays and ranges may stand for lists.

    Returns
    -------
    xarray.DataTree
        As :func:`~phasepipe.results.tree.open_sweep` returns it.

    Raises
    ------
    SweepError
        If a key is not valid, or the folder holds another sweep.
    WorkflowFailedError
        If a stage fails.

    Examples
    --------
    >>> tree = sweep(  # doctest: +SKIP
    ...     loss={"kind": "normalised_quartic", "a": 0.01}, N=[32, 64], alpha=[2, 3, 4],
    ...     instances=16, starts=[{"kind": "random", "count": 8}],
    ... )
    >>> tree.phase.alpha_50()  # doctest: +SKIP
    """
    if not isinstance(name, str):
        raise SweepError(f"name = {shown(name)} is not text; use for example name='demo'")
    if not isinstance(results, str | Path):
        raise SweepError(f"results = {shown(results)} is not a folder; use for example results='results'")
    settings = {key: _plain(key, value) for key, value in keys.items()}
    if client is not None and "cluster" in settings:
        raise SweepError("client and cluster are both given; give one")
    with tempfile.TemporaryDirectory(prefix="phasepipe-") as scratch:
        if client is not None:
            settings["cluster"] = _cluster_of(client, Path(scratch))
        content = {"sweep": name, "results": str(results), "sweeps": {name: settings}}
        file = Path(scratch) / "sweep.json"  # JSON is YAML, and keeps every number
        try:
            file.write_text(json.dumps(content))
        except TypeError as error:
            raise SweepError(f"sweep {name!r}: a file cannot hold these keys ({error})") from error
        loaded = load_configuration([file])
        folder = check_folder(loaded.sweep, loaded.results)
        # workers of a client may have another current folder
        file.write_text(json.dumps(content | {"results": str(loaded.results.absolute())}))
        asked = WorkflowRun([file], name, cores=None if cores is None else str(cores))
        _run(asked)
    return open_sweep(folder.root)


def _plain(key: str, value: Any) -> Any:
    """Value as a YAML file holds it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {str(name): _plain(f"{key}.{name}", entry) for name, entry in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(f"{key}.{place}", entry) for place, entry in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    raise SweepError(
        f"{key} = {value!r:.60} cannot stand in a sweep file; give numbers, text, lists and mappings"
    )


def _cluster_of(client: Client, scratch: Path) -> dict[str, Any]:
    """The key ``cluster`` for the cluster of a client; ``scratch`` takes a file of credentials in memory."""
    scheduler = getattr(client, "scheduler", None)
    address = getattr(scheduler, "address", None)
    if address is None:
        raise SweepError("client has no scheduler; it is closed, or not a client of Dask")
    if address.startswith("inproc://"):
        raise SweepError(
            f"the cluster of client lives in this process ({address}), where the workflow cannot reach it; "
            "start it with processes=True"
        )
    if Credentials.of(client) is not None:
        file = scratch / "scheduler.json"
        write_scheduler_file(client, file)
        return {"kind": "scheduler_file", "path": str(file)}
    cluster: dict[str, Any] = {"kind": "address", "address": address}
    if address.startswith("tls://"):
        security = client.security
        cluster["security"] = {
            "ca_file": security.tls_ca_file,
            "cert": security.tls_client_cert,
            "key": security.tls_client_key,
        }
    return cluster


def _run(asked: WorkflowRun) -> None:
    command = [sys.executable, "-m", "phasepipe", "run", *map(str, asked.files), asked.sweep]
    command += [] if asked.cores is None else ["--cores", asked.cores]
    process = subprocess.Popen(
        command,
        env=os.environ | workflow_variable(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C in a terminal would reach it twice
    )
    sentences: list[str] = []
    last: deque[str] = deque(maxlen=30)
    try:
        with ExitStack() as stack:
            assert process.stdout is not None
            reporter: Reporter | None = None
            for line in process.stdout:
                last.append(line)
                if line.startswith("phasepipe: "):
                    sentences.append(line.removeprefix("phasepipe: ").rstrip())
                elif found := _STEPS.match(line):
                    reporter = stack.enter_context(reporting(f"sweep {asked.sweep}", int(found[1])))
                elif line.startswith("Finished jobid") and reporter is not None:
                    reporter.advance(1, {})
            process.wait()
    except BaseException:  # above all KeyboardInterrupt
        process.send_signal(signal.SIGINT)
        process.communicate()
        raise
    if process.returncode:
        error = WorkflowFailedError(
            sentences[0] if sentences else f"Snakemake ended with {process.returncode}"
        )
        error.add_note("".join(["The last lines of Snakemake:\n", *last]))
        raise error
