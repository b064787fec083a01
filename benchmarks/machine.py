"""The machine: its description, peak rates of matrix products, and memory bandwidth on one core."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from benchmarks.harness import Action, Row, interleave

PACKAGES = ("numpy", "scipy", "numba", "dask", "distributed", "zarr", "snakemake", "jax", "diffrax")
PRODUCT = 1024  # rows of the square matrices that define the peak; sizes 512 to 2048 agree within 4 %


@cache
def _operands(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((PRODUCT, PRODUCT)).astype(dtype), np.empty((PRODUCT, PRODUCT), dtype)


def product(dtype: str = "float32") -> Action:
    """A square matrix product, with which other functions are compared."""
    matrix, out = _operands(dtype)
    return lambda: np.matmul(matrix, matrix, out=out)


PRODUCT_FLOPS = 2 * PRODUCT**3


def peaks(quick: bool) -> Row:
    """GFlop/s in both precisions, and GB/s of the sum of two arrays that exceed all caches."""
    size = 2**20 if quick else 2**24
    left, right, out = np.ones((3, size))
    found = interleave(
        {
            "float32": product("float32"),
            "float64": product("float64"),
            "sum": lambda: np.add(left, right, out=out),
        },
        rounds=1 if quick else 15,
    )
    return {
        "SGEMM peak, GFlop/s": PRODUCT_FLOPS / found["float32"].seconds / 1e9,
        "DGEMM peak, GFlop/s": PRODUCT_FLOPS / found["float64"].seconds / 1e9,
        "memory bandwidth, GB/s": 3 * left.nbytes / found["sum"].seconds / 1e9,
    }


def describe() -> Row:
    """Processor, system, BLAS and package versions."""
    blas = sorted(
        {
            f"{pool['internal_api']} {pool['version']} ({pool.get('architecture')})"
            for pool in threadpool_info()
        }
    )
    threads = sorted({pool["num_threads"] for pool in threadpool_info()})
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory, GB": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        "system": platform.platform(terse=True),
        "Python": platform.python_version(),
        "BLAS": "; ".join(blas),
        "BLAS threads": ", ".join(map(str, threads)),
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "commit": _commit(),
        "load average at the start": os.getloadavg()[0],
    }


def _processor() -> str:
    try:
        import cpuinfo  # in the dependency group bench
    except ImportError:
        return platform.processor() or platform.machine()
    info = cpuinfo.get_cpu_info()
    family, model = info.get("family"), info.get("model")
    widest = "AVX-512" if "avx512f" in info.get("flags", []) else "no AVX-512"
    return f"{info.get('brand_raw', info['arch'])} (family {family}, model {model}, {widest})"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
