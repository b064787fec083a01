"""Receipts of the workflow: small output files that record which grid a rule has computed.

A store cannot be an output of a Snakemake rule, because Snakemake would delete it before running the rule
again to extend it. The outputs are receipts instead: small files that contain the requested grid. The last
receipt is named after a digest of the grid, so that the rule runs when another grid is requested,
independently of the metadata that Snakemake stores.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_receipts(receipts: Sequence[Path], grids: Sequence[Any]) -> None:
    """Record that every grid is computed.

    Parameters
    ----------
    receipts
        One for each of ``grids``, and last the one whose name ends in ``-<digest>.done``. Digest receipts of
        earlier grids are removed, so that the tables are made again if such a grid is requested again.
    grids
        The requested grids.
    """
    *each, whole = receipts
    for receipt, grid in zip(each, grids, strict=True):
        receipt.write_text(json.dumps(grid, indent=1) + "\n")
    stem = whole.name.rpartition("-")[0]
    for earlier in whole.parent.glob(f"{stem}-*.done"):
        earlier.unlink()
    whole.touch()
