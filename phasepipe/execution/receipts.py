"""Receipts of the workflow: what a rule has computed, in the words of the sweep.

A store has no place among the outputs of a Snakemake rule, because Snakemake would delete it before it grows.
The outputs are receipts: small files that hold the grid that was asked for. The last one is named after a
digest of the grid, so that a rule runs when another grid is asked for, whatever Snakemake remembers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_receipts(receipts: Sequence[Path], grids: Sequence[Any]) -> None:
    """Say that every grid is computed.

    Parameters
    ----------
    receipts
        One for each of ``grids``, and last the one whose name ends in ``-<digest>.done``. Those of grids
        asked for before are removed: going back to such a grid makes the tables anew.
    grids
        What was asked for.
    """
    *each, whole = receipts
    for receipt, grid in zip(each, grids, strict=True):
        receipt.write_text(json.dumps(grid, indent=1) + "\n")
    stem = whole.name.rpartition("-")[0]
    for earlier in whole.parent.glob(f"{stem}-*.done"):
        earlier.unlink()
    whole.touch()
