"""Open a store for reading; damage is reported as one sentence instead of a traceback or a wrong number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr
from zarr.abc.store import Store
from zarr.storage import LocalStore, ZipStore

from phasepipe.errors import UserError
from phasepipe.files import open_regular, read_regular
from phasepipe.store.backend import BlockStoreBackend
from phasepipe.store.publishing import DIGEST, ROOT, metadata_digest
from phasepipe.store.reading import DamagedStoreError, GuardedStore, cure


def read_attributes(path: Path) -> dict[str, Any]:
    """Root attributes of a store.

    Raises
    ------
    DamagedStoreError
        If there is no intact store.
    """
    attributes: dict[str, Any] = read_root(path)["attributes"]
    return attributes


def read_root(path: Path) -> dict[str, Any]:
    """Root metadata of a store, checked against their digest if they have one.

    Raises
    ------
    DamagedStoreError
        If they cannot be read; the message says why.
    """
    try:
        if not path.is_dir():
            raise DamagedStoreError(f"{path} is a file, not a store of phasepipe; {cure(path)}")
        content = read_regular(path / ROOT)
    except FileNotFoundError:
        raise DamagedStoreError(
            f"{path} is not a store of phasepipe: it has no {ROOT}, so it is empty or its metadata are lost; "
            f"{cure(path)}"
        ) from None
    except OSError as error:
        raise DamagedStoreError(f"{path} cannot be read ({error.strerror}); {cure(path)}") from None
    try:
        root = json.loads(content)
        if root["node_type"] != "group" or not isinstance(root["attributes"], dict):
            raise ValueError("it does not describe a Zarr group")
        stated = root["attributes"].get(DIGEST)
        if stated is not None and stated != metadata_digest(root):
            raise ValueError("its content does not match its digest")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedStoreError(f"{path / ROOT} is damaged ({_short(error)}); {cure(path)}") from None
    return dict(root)


def open_guarded(path: Path) -> xr.Dataset:
    """A store, zipped or not, as a lazy dataset; reading a lost or damaged chunk raises an error.

    Raises
    ------
    DamagedStoreError
        If it cannot be opened.
    """
    try:
        data = _opened(path)
    except UserError:
        raise
    except Exception as error:  # Zarr, its codecs and xarray each raise their own types of errors
        raise DamagedStoreError(f"{path} is damaged ({_short(error)}); {cure(path)}") from error
    data.attrs.pop(DIGEST, None)
    return data


def _opened(path: Path) -> xr.Dataset:
    store: Store
    arrays: dict[str, dict[str, Any]] = {}
    consolidated = False
    if path.suffix == ".zip":
        open_regular(path).close()
        store = ZipStore(path, mode="r")
    else:
        root = read_root(path)
        consolidated = root.get("consolidated_metadata") is not None
        arrays = array_metadata(path, root)
        dims = arrays.get("status", {}).get("dimension_names") or ()
        if "instance" in dims:  # a store of blocks, no table
            content = {"attributes": root["attributes"], "metadata": arrays}
            return xr.open_dataset(path, engine=BlockStoreBackend, backend_kwargs=content)
        store = LocalStore(path, read_only=True)
    guarded = GuardedStore(store, path, arrays)
    # arrays of Zarr 2 can name filters that run code when they are read
    data: xr.Dataset = xr.open_zarr(guarded, chunks=None, consolidated=consolidated, zarr_format=3)
    return data


def array_metadata(path: Path, root: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Metadata of all arrays, from the root or, in a store of an earlier version, from a file for each."""
    if root.get("consolidated_metadata") is not None:
        return dict(root["consolidated_metadata"]["metadata"])
    found = {}
    for folder in sorted(path.iterdir()):
        if folder.is_dir():
            try:
                found[folder.name] = dict(json.loads(read_regular(folder / ROOT)))
            except (OSError, ValueError, TypeError):
                raise DamagedStoreError(f"{folder / ROOT} is lost or damaged; {cure(path)}") from None
    return found


def _short(error: BaseException) -> str:
    """Message of a library error, shortened to one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = f"no entry {text}" if isinstance(error, KeyError) else text
    return text if len(text) <= 160 else f"{text[:160]}..."
