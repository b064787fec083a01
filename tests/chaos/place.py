"""The sweep that is disturbed, its project folder, and its data for comparisons."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import yaml

from phasepipe.specification.configuration import load_sweep, read_configuration
from phasepipe.specification.sweep import Sweep
from phasepipe.store.chunks import OpenedStore
from phasepipe.store.folder import SweepFolder
from phasepipe.store.integrity import mark_pending
from phasepipe.store.records import read_records
from phasepipe.store.unpacked import read_unpacked, unpacked_files
from tests.chunks import content

ROOT = Path(__file__).parents[2]
CGROUP = Path("/sys/fs/cgroup/memory")  # version 1
_IMAGE = 96 * 2**20  # bytes
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
# without a number of workers the stages of so small a sweep compute it in their own process
WORKERS = {"kind": "local", "workers": 2}
_STAGES = ("instances", "runs")
_WITH_INSTANCES = 0.3  # share of cases in which instances are pending too


def read_sweep(**changes: Any) -> Sweep:
    """The sweep of the project in the working directory; keywords change keys."""
    content = read_configuration(Path("config/config.yaml"))
    content["sweeps"]["chaos"] |= changes
    return load_sweep(content)


@dataclass(frozen=True)
class Place:
    """A project folder with workflow, configuration and results.

    ``workers`` tells whether its stages start worker processes or compute in their own.
    """

    root: Path
    workers: bool = True

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
        settings = SETTINGS | ({"cluster": WORKERS} if self.workers else {})
        content = yaml.safe_dump({"sweep": "chaos", "sweeps": {"chaos": settings}})
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
                blocks = sorted(read_records(path))
                chosen = rng.choice(len(blocks), round(share * len(blocks)), replace=False)
                mark_pending(path, [blocks[i] for i in chosen])
                path.with_suffix(".done").unlink(missing_ok=True)
        (self.folder.root / "success.done").unlink(missing_ok=True)

    def blocks(self) -> dict[str, float]:
        """Stored blocks, for example ``runs/N16-0-3-0``, and when they were written."""
        found = {}
        for stage in _STAGES:
            for store in (self.folder.root / stage).glob("N*.zarr"):
                packed = list(read_records(store).values())
                unpacked = [record for record, _ in filter(None, map(read_unpacked, unpacked_files(store)))]
                for record in packed + unpacked:
                    found[name_of(stage, store.stem, record["block"])] = record["written"]
        return found

    def blocks_at(self, file: Path, changed: slice) -> set[str]:
        """Blocks with a chunk, or the index of all chunks, at the changed bytes of a file."""
        stage, store, name, *place = [*file.relative_to(self.folder.root).parts, "", "", ""]
        path = self.folder.root / stage / store
        if stage not in _STAGES or place[0] != "c" or not (path / "zarr.json").exists():
            return set()
        opened = OpenedStore.at(path)
        array, content = opened.arrays[name], file.read_bytes()
        if array.ndim < opened.status.ndim:
            return set()
        found = set()
        at = tuple(int(part) for part in place[1:] if part)
        for slot, where in array.index(content).items():
            if changed.start < array.index_bytes or (
                where.start < changed.stop and changed.start < where.stop
            ):
                found.add(name_of(stage, path.stem, opened.block_of(array, array.place_at(at, slot))))
        return found

    def data(self) -> dict[str, bytes]:
        """Content of all chunks and tables by name, without attributes such as times and machines."""
        table = self.folder.table("success")
        files = (file for file in table.glob("*/**/*") if file.is_file())
        found = {file.relative_to(self.root).as_posix(): file.read_bytes() for file in files}
        return found | content(self.folder.root, metadata=False)

    def files(self) -> list[Path]:
        """All files of the stores, in a fixed order."""
        return sorted(file for file in self.folder.root.glob("*/N*.zarr/**/*") if file.is_file())

    def remove(self) -> None:
        """Remove the project."""
        shutil.rmtree(self.root)


def name_of(stage: str, store: str, block: Iterable[int]) -> str:
    """Name of a block."""
    return f"{stage}/{'-'.join([store, *map(str, block)])}"


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

    def leave_inodes(self, count: int) -> None:
        """Leave room for ``count`` more files and folders."""
        state = os.statvfs(self.folder)
        self.remount(f"nr_inodes={state.f_files - state.f_ffree + count}")

    def remount(self, options: str) -> bool:
        """Change the mount options; return False if the file system is in use."""
        command = ["mount", "-o", f"remount,{options}", self.folder]
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def close(self) -> None:
        """Unmount the file system and discard its content."""
        subprocess.run(["umount", "--lazy", self.folder], check=True)


class Image:
    """An ext4 file system in a file, mounted while the context is open; needs root and a loop device."""

    def __init__(self, file: Path, folder: Path, options: str) -> None:
        self.file, self.folder, self._options = file, folder, options
        if not file.exists():
            with file.open("wb") as made:
                made.truncate(_IMAGE)
            subprocess.run(["mkfs.ext4", "-q", "-F", file], check=True)

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-o", f"loop,{self._options}", self.file, self.folder], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True)

    def sync(self) -> None:
        """Write everything to the image."""
        subprocess.run(["sync", "--file-system", self.folder], check=True)

    def copy_to(self, target: Path) -> None:
        """Copy what has reached the image by now, as a power cut would leave it."""
        subprocess.run(["cp", "--sparse=always", self.file, target], check=True)


class Clock:
    """A clock for processes, which can jump: a library that is loaded before the C library; needs cc."""

    def __init__(self, folder: Path) -> None:
        self._offset, self._library = folder / "offset", folder / "clock.so"
        self.jump(0)
        source = folder / "clock.c"
        source.write_text(_CLOCK)
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", self._library, source, "-ldl"]
        subprocess.run(command, check=True)

    def environment(self) -> dict[str, str]:
        """Variables for the processes that use this clock."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._offset)}

    def jump(self, seconds: int) -> None:
        """Set the clock this far from the true time."""
        draft = self._offset.with_suffix(".draft")
        draft.write_text(str(seconds))
        draft.replace(self._offset)


_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
  char text[32] = {0};
  const char *name = getenv("CHAOS_CLOCK");
  int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return 0;
  ssize_t count = read(file, text, sizeof text - 1);
  close(file);
  return count > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  if (!result && clock == CLOCK_REALTIME) now->tv_sec += offset();
  return result;
}

time_t time(time_t *where) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (where) *where = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec precise;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}
"""
