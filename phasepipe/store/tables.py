"""Read stores as xarray datasets, and write small results that cover all N."""

from __future__ import annotations

import tempfile
import time
import uuid
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phasepipe.errors import UserError
from phasepipe.files import read_regular
from phasepipe.physics.outcomes import unfinished
from phasepipe.specification.sweep import Sweep
from phasepipe.store.atomic import replacing
from phasepipe.store.codec import TABLE_CODECS
from phasepipe.store.folder import SweepFolder
from phasepipe.store.history import HISTORY, extended
from phasepipe.store.identity import StoreMismatchError
from phasepipe.store.layout import Status
from phasepipe.store.metadata_copy import skeleton_files
from phasepipe.store.opening import open_guarded, read_attributes
from phasepipe.store.publishing import ROOT, publish, root_content
from phasepipe.store.reading import DamagedStoreError, cure
from phasepipe.store.seal import SEAL, broken, check_archive, make_seal, sources_of

_LABELS = "labels"
_STATUS = "status"
_ATTEMPTS, _PAUSE = 4, 0.05  # attempts to read a table that is being replaced, and seconds between them
_RUN_AXES = {"alpha", "instance", "start"}


def open_store(path: Path) -> xr.Dataset:
    """A store, zipped or not, as a lazy dataset, its growing axes in ascending order; a table is loaded.

    Values are read when they are used, by this process, without Dask: a chunk has a few kilobytes, and a task
    costs more than reading it. Every run marked as done has its values, in whatever order the variables are
    read while the store is being filled (:mod:`phasepipe.store.backend`).

    Raises
    ------
    DamagedStoreError
        If it cannot be opened; also later, when a value is used whose chunk is missing or damaged, or a
        pending outcome of a run that is marked as done (:mod:`phasepipe.store.backend`).
    """
    return _in_order(_opened(path))


def open_chunked(path: Path) -> xr.Dataset:
    """As :func:`open_store`, with Dask arrays, for data that do not fit into memory.

    Time series are chunked as stored. For variables with one number per run, all blocks of an alpha are one
    chunk.
    """
    data = _opened(path)
    for name, variable in data.data_vars.items():
        if "preferred_chunks" not in variable.encoding:
            continue  # tables are loaded
        sizes = dict(variable.encoding["preferred_chunks"])
        if set(variable.dims) <= _RUN_AXES:
            sizes |= dict.fromkeys(set(variable.dims) - {"alpha"}, -1)
        # a unique key: the store may grow, and Dask assumes that equal keys mean equal values
        data[name] = variable.chunk(sizes, token=uuid.uuid4().hex)
    return _in_order(data)


def _opened(path: Path) -> xr.Dataset:
    if path.suffix == ".zip":
        check_archive(path)
        data = open_guarded(path)
        data.attrs.pop(SEAL, None)
        return data
    data = open_guarded(path)
    blocks = _STATUS in data and "instance" in data[_STATUS].dims  # the scaling has a status too
    return data if blocks else _whole_table(path)


def _whole_table(path: Path) -> xr.Dataset:
    """A consistent state of a table: if it is replaced during reading, it is read again."""
    for attempt in range(_ATTEMPTS):
        try:
            before = read_regular(path / ROOT)
            data = open_guarded(path).load()
            seal = data.attrs.pop(SEAL, None)
            complaint = None if seal is None else broken(path, seal)
            if read_regular(path / ROOT) == before and complaint is None:
                return data
            error = DamagedStoreError(f"{path} is damaged: {complaint}; {cure(path)}")
        except (OSError, DamagedStoreError) as failed:
            error = (
                failed
                if isinstance(failed, DamagedStoreError)
                else DamagedStoreError(f"{path} cannot be read ({failed.strerror}); {cure(path)}")
            )
        time.sleep(_PAUSE * attempt)
    raise error


def _in_order(data: xr.Dataset) -> xr.Dataset:
    # folders list their files in any order: sort, so that equal results give equal tables and figures
    data = _with_text(data)
    data = xr.Dataset(
        {name: data[name] for name in sorted(map(str, data.data_vars))}, data.coords, data.attrs
    )
    for name in ("alpha", "budget"):
        if name in data.indexes and not data.indexes[name].is_monotonic_increasing:
            data = data.sortby(name)
    return data


def asked_alphas(data: xr.Dataset, sweep: Sweep, N: int) -> xr.Dataset:
    """The data at the alphas that the sweep requests at ``N``; the store may hold more."""
    return data.isel(alpha=np.flatnonzero(np.isin(data["measurements"].values, sweep.measurements(N))))


def read_runs(folder: SweepFolder, sweep: Sweep, N: int) -> xr.Dataset:
    """The runs that the sweep requests at ``N``; the store may hold more.

    Raises
    ------
    DamagedStoreError
        Here or when values are used, see :func:`open_store`.
    """
    return asked_runs(open_store(folder.store("runs", N)), sweep, N)


def last_asked(attributes: Iterable[Mapping[Any, Any]]) -> Sweep:
    """The newest specification in the root attributes of several stores.

    A store whose N the last run did not include still holds an older specification.

    Raises
    ------
    StoreMismatchError
        If no store holds one.
    """
    asked = [store for store in attributes if "asked" in store]
    if not asked:
        raise StoreMismatchError(
            "the stores do not contain the requested specification (an earlier version made them); "
            "run the sweep again under another name"
        )
    return Sweep.model_validate(max(asked, key=lambda store: str(store["asked_at"]))["asked"])


def asked_runs(data: xr.Dataset, sweep: Sweep, N: int) -> xr.Dataset:
    """Those of the runs ``data`` that the sweep requests at ``N``."""
    asked = {(kind, repr(m0), number) for kind, m0, number in sweep.start_keys()}
    stored = zip(
        data["start_kind"].values.tolist(),
        map(repr, data["start_m0"].values.tolist()),
        data["start_number"].values.tolist(),
        strict=True,
    )
    chosen = {
        "alpha": np.isin(data["measurements"].values, sweep.measurements(N)),
        "instance": data["instance"].values < max(sweep.instances_at(N).values()),
        "start": np.array([key in asked for key in stored], bool),
    }
    # keep a complete axis as a slice, which is read faster than a list of indices
    return data.isel({axis: np.flatnonzero(mask) for axis, mask in chosen.items() if not mask.all()})


def _without_text(table: xr.Dataset) -> xr.Dataset:
    """Encode text as integers and a list of labels: Zarr has no stable format for strings."""
    coded = table.copy()
    for name, variable in table.variables.items():
        if variable.dtype.kind in "UO":
            labels, codes = np.unique(variable.values.astype(str), return_inverse=True)
            attributes = variable.attrs | {_LABELS: labels.tolist()}
            coded[name] = (variable.dims, codes.reshape(variable.shape).astype(np.uint16), attributes)
    return coded


def _with_text(data: xr.Dataset) -> xr.Dataset:
    """Undo :func:`_without_text`."""
    coded = [name for name, variable in data.variables.items() if _LABELS in variable.attrs]
    for name in coded:
        attributes = dict(data[name].attrs)
        labels = np.array(attributes.pop(_LABELS), dtype=str)
        data = data.assign({name: (data[name].dims, labels[data[name].values], attributes)})
    return data.set_coords([name for name in coded if name in data.dims])


def write_table(path: Path, table: xr.Dataset) -> None:
    """Atomically replace the store at ``path`` by ``table``, with checksums, a seal and its history."""
    sources = sources_of(path)
    before: dict[str, Any] = {}
    with suppress(DamagedStoreError):
        before = read_attributes(path)
    table = table.assign_attrs({HISTORY: extended(before)})
    with replacing(path) as draft:
        _to_zarr(table, draft)
        publish(draft, root_content(draft, {SEAL: make_seal(draft, path.stem, sources)}))
    for copy in skeleton_files(path):  # earlier versions made one
        copy.unlink(missing_ok=True)


def write_archive(path: Path, table: xr.Dataset) -> None:
    """Replace the zipped store at ``path`` by ``table``; equal tables give files with equal bytes."""
    write_archives({path: table})


def write_archives(tables: Mapping[Path, xr.Dataset]) -> None:
    """Replace zipped stores that belong together: all are written before the first is renamed."""
    with ExitStack() as drafts:
        written = [(drafts.enter_context(replacing(path)), path, table) for path, table in tables.items()]
        for draft, path, table in written:
            _write_zip(draft, path.name.partition(".")[0], table)


def _write_zip(path: Path, name: str, table: xr.Dataset) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch)
        _to_zarr(table, store)
        publish(store, root_content(store, {SEAL: make_seal(store, name, {})}))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(Path(scratch).rglob("*")):
                if file.is_file():
                    # an entry made from a name alone has no date
                    entry = zipfile.ZipInfo(file.relative_to(scratch).as_posix())
                    archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)


def refuse_mixture(archives: Mapping[Path, xr.Dataset]) -> None:
    """Reject reduced tables that come from different reductions, or of which one is missing.

    Raises
    ------
    DamagedStoreError
        If ``phasepipe reduce`` was interrupted while it replaced them, or a file was replaced or removed.
    """
    made = {str(table.attrs["reduced"]) for table in archives.values() if "reduced" in table.attrs}
    if len(made) > 1:
        folder = next(iter(archives)).parent
        raise DamagedStoreError(
            f"the tables in {folder} come from {len(made)} different reductions; create them again with "
            "phasepipe reduce"
        )
    held = {path.name for path in archives}
    stated = (table.attrs.get("reduced", {}).get("tables", ()) for table in archives.values())
    if missing := sorted({f"{name}.zarr.zip" for names in stated for name in names} - held):
        folder = next(iter(archives)).parent
        raise DamagedStoreError(
            f"{folder} lacks {', '.join(missing)} of the reduced sweep; copy the folder again, or create it "
            "again with phasepipe reduce"
        )


def _to_zarr(table: xr.Dataset, folder: Path) -> None:
    table = _without_text(table)
    encoding = {str(name): {"compressors": TABLE_CODECS} for name in table.variables}
    table.to_zarr(
        folder, mode="w", encoding=encoding, consolidated=False, zarr_format=3, write_empty_chunks=True
    )


_NAMED = 5  # cells listed in the message


class IncompleteError(UserError):
    """Requested runs are missing; the message lists their cells."""


def asked_instances(sweep: Sweep, N: int, runs: xr.Dataset) -> xr.DataArray:
    """Which instances the sweep requests at each alpha of ``runs``, dims (alpha, instance)."""
    asked = sweep.instances_at(N)
    counts = [asked[M] for M in runs["measurements"].values.tolist()]
    return (runs["instance"] < xr.DataArray(counts, dims="alpha")).transpose("alpha", "instance")


def require_complete(sweep: Sweep, N: int, runs: xr.Dataset) -> None:
    """Reject runs of which some are not computed.

    Parameters
    ----------
    sweep, N
        The requested sweep and size.
    runs
        As from :func:`~phasepipe.store.tables.read_runs`, with ``status, outcome, end_time``.

    Raises
    ------
    IncompleteError
        If a requested run is not computed, or not continued to ``t_max``.
    """
    done = (runs["status"] == Status.DONE) & ~unfinished(runs["outcome"], runs["end_time"], sweep.t_max)
    asked, starts = sweep.instances_at(N), len(sweep.start_keys())
    found = (done & asked_instances(sweep, N, runs)).sum(("instance", "start"))
    missing = {M / N: count * starts for M, count in asked.items()}
    for M, count in zip(runs["measurements"].values.tolist(), found.values.tolist(), strict=True):
        missing[M / N] -= count
    incomplete = {alpha: count for alpha, count in sorted(missing.items()) if count}
    if incomplete:
        first = list(incomplete.items())[:_NAMED]
        cells = ", ".join(f"alpha = {alpha:.4g} ({count})" for alpha, count in first)
        more = f" and {len(incomplete) - _NAMED} more cells" if len(incomplete) > _NAMED else ""
        raise IncompleteError(
            f"{sum(incomplete.values())} of {sum(asked.values()) * starts} runs at N = {N} are not computed, "
            f"at {cells}{more}; run the workflow again"
        )
