"""The sweep that is disturbed, its project folder, and its data for comparisons."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from phasepipe.specification.configuration import load_sweep
from phasepipe.specification.sweep import Sweep
from phasepipe.store.folder import SweepFolder
from phasepipe.store.integrity import mark_pending

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = {
    "loss": {"kind": "normalised_quartic", "a": 0.01},
    "N": [16],
    "alpha": [2, 3, 4],
    "instances": 8,
    "starts": [{"kind": "random", "count": 2}],
    "t_max": 5,
    "block_instances": 1,
    "snapshots": {"instances": 2, "starts": 1, "per_decade": 1},
    "seed": 7,
}
_STAGES = ("instances", "runs")
_WITH_INSTANCES = 0.3  # share of cases in which instances are pending too


def make_sweep(**changes: Any) -> Sweep:
    """The sweep, read from its configuration."""
    return load_sweep({"sweep": "chaos", "sweeps": {"chaos": SETTINGS | changes}})


@dataclass(frozen=True)
class Place:
    """A project folder with workflow, configuration and results."""

    root: Path

    @property
    def results(self) -> Path:
        """Folder of the results of all sweeps."""
        return self.root / "results"

    @property
    def folder(self) -> SweepFolder:
        """Folder of the results of the sweep."""
        return SweepFolder(self.results / "chaos")

    def make(self, reference: Place | None = None) -> None:
        """Create the project, with a copy of the results of ``reference``."""
        (self.root / "config").mkdir(parents=True)
        for name in ("Snakefile", "workflow", "phasepipe"):
            (self.root / name).symlink_to(ROOT / name)
        content = yaml.safe_dump({"sweep": "chaos", "sweeps": {"chaos": SETTINGS}})
        (self.root / "config/config.yaml").write_text(content)
        self.results.mkdir()
        if reference is not None:
            shutil.copytree(reference.folder.root, self.folder.root)
            if (reference.root / ".snakemake").exists():  # records of Snakemake about its outputs
                shutil.copytree(reference.root / ".snakemake", self.root / ".snakemake")

    def take_away(self, share: float, rng: np.random.Generator) -> None:
        """Make a share of the blocks pending again, as if the sweep were unfinished."""
        stages = _STAGES if rng.random() < _WITH_INSTANCES else ("runs",)
        for stage in stages:
            for path in self.folder.stores(stage).values():
                chunks = path / "status/c"
                files = sorted(file for file in chunks.rglob("*") if file.is_file())
                chosen = rng.choice(len(files), round(share * len(files)), replace=False)
                mark_pending(path, [tuple(map(int, files[i].relative_to(chunks).parts)) for i in chosen])
                path.with_suffix(".done").unlink(missing_ok=True)
        (self.folder.root / "success.done").unlink(missing_ok=True)

    def blocks(self) -> dict[Path, int]:
        """Stored blocks: the file of their status and its modification time."""
        found = {}
        for stage in _STAGES:
            for file in (self.folder.root / stage).glob("N*.zarr/status/c/**/*"):
                try:
                    if file.is_file() and "." not in file.name:
                        found[file.relative_to(self.root)] = file.stat().st_mtime_ns
                except FileNotFoundError:
                    continue
        return found

    def block_of(self, file: Path) -> Path | None:
        """File with the status of the block to which a chunk belongs; None for metadata and coordinates."""
        stage, store, _, *place = [*file.relative_to(self.folder.root).parts, "", ""][:8]
        rank = {"instances": 2, "runs": 3}.get(stage, 9)
        if len(place) <= rank or place[0] != "c":
            return None
        # blocks divide alpha and instance; each contains all starts
        block = Path(stage, store, "status", "c", *place[1:3], *["0"] * (rank - 2))
        return (self.folder.root / block).relative_to(self.root)

    def data(self) -> dict[str, bytes]:
        """Content of all data files by name, without attributes such as times and machines."""
        stores = [path for stage in _STAGES for path in self.folder.stores(stage).values()]
        files = (
            file
            for store in (*stores, self.folder.table("success"))
            for file in store.glob("*/**/*")
            if file.is_file()
        )
        return {file.relative_to(self.root).as_posix(): file.read_bytes() for file in files}

    def files(self) -> list[Path]:
        """All files of the stores, in a fixed order."""
        return sorted(file for file in self.folder.root.glob("*/N*.zarr/**/*") if file.is_file())

    def remove(self) -> None:
        """Remove the project."""
        shutil.rmtree(self.root)


class Tmpfs:
    """A separate file system in a folder, which can be full or read-only; needs root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=True)

    def leave_free(self, size: int) -> None:
        """Shrink the file system until ``size`` bytes are free."""
        state = os.statvfs(self.folder)
        used = (state.f_blocks - state.f_bfree) * state.f_frsize
        self.remount(f"size={used + size}")

    def remount(self, options: str) -> bool:
        """Change the mount options; return False if the file system is in use."""
        command = ["mount", "-o", f"remount,{options}", self.folder]
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def close(self) -> None:
        """Unmount the file system and discard its content."""
        subprocess.run(["umount", "--lazy", self.folder], check=True)
