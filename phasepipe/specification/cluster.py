"""The key ``cluster``: where a sweep is computed."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from phasepipe.errors import shown
from phasepipe.specification.base import Few, Model, Whole
from phasepipe.specification.paths import ExpandedPath

_CONTROL = r"\x00-\x08\x0a-\x1f\x7f"  # all control characters but the tabulator
_LINE = rf"^[^{_CONTROL}]*$"  # text that becomes one line of a job script
_WORD = r"^[^\s\x00-\x1f\x7f;&|<>()'\"`\\*?!#]+$"  # text that becomes one word of its command
_UNITS = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_LEAST_MEMORY, _MOST_MEMORY = 1e8, 1e14  # bytes
_LONGEST_JOB = 366 * 24 * 3600  # seconds


class TlsFiles(Model):
    """TLS files for encrypted and mutually authenticated connections."""

    ca_file: ExpandedPath = Field(
        description="Certificate of the authority that signed all certificates", examples=["ca.pem"]
    )
    cert: ExpandedPath = Field(
        description="Certificate of scheduler, workers and clients", examples=["cert.pem"]
    )
    key: ExpandedPath = Field(
        description="Private key of the certificate, readable only by its owner", examples=["key.pem"]
    )


class LocalCluster(Model):
    """Dask workers on this machine, started separately by every stage."""

    kind: Literal["local"] = Field(default="local", description="Kind of the cluster")
    workers: Annotated[Whole, Field(ge=1, le=4096)] | None = Field(
        default=None, description="Processes; default one per core", examples=[4]
    )


class SchedulerFile(Model):
    """A running Dask cluster, found by its scheduler file."""

    kind: Literal["scheduler_file"] = Field(description="Kind of the cluster")
    path: ExpandedPath = Field(description="Scheduler file of the cluster", examples=["scheduler.json"])
    security: TlsFiles | None = Field(
        default=None,
        description="TLS files; default those in the scheduler file, or Dask's configuration",
        examples=[{"ca_file": "ca.pem", "cert": "cert.pem", "key": "key.pem"}],
    )


class SchedulerAddress(Model):
    """A running Dask cluster, found by its address."""

    kind: Literal["address"] = Field(description="Kind of the cluster")
    address: str = Field(
        pattern=r"^(tcp|tls|ucx|ws|wss)://[^/\s@]+:[0-9]+$",
        description="Protocol, host and port",
        examples=["tcp://10.0.0.1:8786"],
    )
    security: TlsFiles | None = Field(
        default=None,
        description="TLS files; default Dask's configuration",
        examples=[{"ca_file": "ca.pem", "cert": "cert.pem", "key": "key.pem"}],
    )

    @field_validator("address")
    @classmethod
    def _port(cls, address: str) -> str:
        port = address.rpartition(":")[2]
        if len(port) > 5 or not 0 < int(port) < 2**16:
            raise ValueError(
                f"= {shown(address)} is not valid; a port is a number from 1 to 65535, for example 8786"
            )
        return address


class SlurmCluster(Model):
    """Dask workers submitted as SLURM jobs."""

    kind: Literal["slurm"] = Field(description="Kind of the cluster")
    jobs: Few = Field(default=1, description="Maximal number of SLURM jobs", examples=[25])
    minimum_jobs: Annotated[Whole, Field(ge=0, le=100_000)] | None = Field(
        default=None,
        description="If given, the number of jobs adapts to the work, between this number and jobs",
        examples=[1],
    )
    cores: Annotated[Whole, Field(ge=1, le=4096)] = Field(
        default=1, description="Cores per job", examples=[40]
    )
    processes: Annotated[Whole, Field(ge=1, le=4096)] | None = Field(
        default=None,
        description="Worker processes per job; default one per core, fewer for more memory each",
        examples=[40],
    )
    memory: str = Field(
        default="4GB",
        pattern=r"^[0-9]+(\.[0-9]+)? ?([kKMGT]i?)?B$",
        description="Memory per job: a number and a unit",
        examples=["4GB"],
    )
    walltime: str = Field(
        default="01:00:00",
        pattern=r"^([0-9]+-)?[0-9]+:[0-5][0-9]:[0-5][0-9]$",
        description="[days-]hours:minutes:seconds, in quotes",
        examples=["04:00:00"],
    )
    margin: Annotated[Whole, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="Seconds before the walltime at which workers stop; default a tenth, at most 300",
        examples=[300],
    )
    queue: str | None = Field(default=None, pattern=_LINE, description="SLURM partition", examples=["main"])
    account: str | None = Field(
        default=None, pattern=_LINE, description="SLURM account", examples=["physics"]
    )
    interface: str | None = Field(
        default=None,
        pattern=_WORD,
        description="Network interface of scheduler and workers",
        examples=["ib0"],
    )
    job_extra_directives: list[Annotated[str, Field(pattern=rf"^-[^{_CONTROL}]*$")]] = Field(
        default=[], description="Further #SBATCH lines", examples=[["--constraint=avx512"]]
    )
    job_script_prologue: list[Annotated[str, Field(pattern=_LINE)]] = Field(
        default=[], description="Shell lines before the worker starts", examples=[["module load python"]]
    )
    python: str | None = Field(
        default=None,
        pattern=_WORD,
        description="Python interpreter of the workers; default the current one",
        examples=["/opt/python/bin/python"],
    )
    log_directory: ExpandedPath = Field(
        default="slurm-logs",
        pattern=_WORD,
        description="Folder for the output of the jobs, on a shared file system",
        examples=["slurm-logs"],
    )
    security: TlsFiles | None = Field(
        default=None,
        description="TLS files; default a certificate made for the run",
        examples=[{"ca_file": "ca.pem", "cert": "cert.pem", "key": "key.pem"}],
    )

    @field_validator("memory")
    @classmethod
    def _memory_of_a_machine(cls, memory: str) -> str:
        number, unit = re.match(r"([0-9.]+) ?([kKMGT]?)", memory).groups()  # type: ignore[union-attr]
        if not _LEAST_MEMORY <= float(number) * _UNITS[unit] <= _MOST_MEMORY:
            raise ValueError(
                f"= {shown(memory)} is not valid; a job needs between 100MB and 100TB, for example 4GB"
            )
        return memory

    @field_validator("walltime")
    @classmethod
    def _walltime_of_a_job(cls, walltime: str) -> str:
        if _seconds(walltime) > _LONGEST_JOB:
            raise ValueError(
                f"= {shown(walltime)} is not valid; it is longer than a year, use for example '04:00:00'"
            )
        return walltime

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.minimum_jobs is not None and self.minimum_jobs > self.jobs:
            raise ValueError(
                f"cluster.minimum_jobs = {self.minimum_jobs} exceeds cluster.jobs = {self.jobs}; "
                "jobs is the maximal number"
            )
        if self.processes is not None and self.processes > self.cores:
            raise ValueError(
                f"cluster.processes = {self.processes} exceeds cluster.cores = {self.cores}; "
                "use at most one process per core"
            )
        if self.margin is not None and self.margin >= self.walltime_seconds():
            raise ValueError(
                f"cluster.margin = {self.margin} s is not less than cluster.walltime = {self.walltime}; "
                "use a fraction of it"
            )
        if self.walltime_seconds() < 60:
            raise ValueError(
                f"cluster.walltime = {self.walltime} is less than a minute, the time unit of SLURM; "
                "increase it"
            )
        return self

    def walltime_seconds(self) -> int:
        """Time limit of a job in seconds."""
        return _seconds(self.walltime)

    def margin_seconds(self) -> int:
        """Seconds before the time limit at which the last worker of a job should have ended."""
        return self.margin or min(300, self.walltime_seconds() // 10)


def _seconds(walltime: str) -> int:
    if len(walltime) > 30:  # longer than any valid walltime
        return _LONGEST_JOB + 1
    days, _, clock = walltime.rpartition("-")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


ClusterSpec = Annotated[
    LocalCluster | SchedulerFile | SchedulerAddress | SlurmCluster, Field(discriminator="kind")
]
