"""Where a sweep may be computed: the key ``cluster`` of its specification."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from phasepipe.specification.base import Model

_LINE = r"^[^\n]*$"  # what becomes a line of a job script


class TlsFiles(Model):
    """Files of a certificate authority, a certificate and its key: encrypted and mutually authenticated."""

    ca_file: str = Field(description="Certificate of the authority that signed the certificates of all")
    cert: str = Field(description="Certificate of scheduler, workers and clients")
    key: str = Field(description="Private key of the certificate, readable by its owner only")


class LocalCluster(Model):
    """Every stage starts Dask workers of its own on this machine."""

    kind: Literal["local"] = "local"
    workers: PositiveInt | None = Field(default=None, description="Processes; default one per core")


class SchedulerFile(Model):
    """A Dask cluster that another process holds open, found by its scheduler file."""

    kind: Literal["scheduler_file"]
    path: str
    security: TlsFiles | None = Field(default=None, description="TLS files; default Dask's configuration")


class SchedulerAddress(Model):
    """A Dask cluster that another process holds open, found by its address."""

    kind: Literal["address"]
    address: str = Field(
        pattern=r"^(tcp|tls|ucx|ws|wss)://[^/\s@]+:\d+$", description="For example tcp://10.0.0.1:8786"
    )
    security: TlsFiles | None = Field(default=None, description="TLS files; default Dask's configuration")


class SlurmCluster(Model):
    """Dask workers submitted as SLURM jobs."""

    kind: Literal["slurm"]
    jobs: PositiveInt = Field(default=1, description="SLURM jobs, at most")
    minimum_jobs: NonNegativeInt | None = Field(
        default=None, description="If given, jobs come and go with the work, and so many stay"
    )
    cores: PositiveInt = Field(default=1, description="Cores per job")
    processes: PositiveInt | None = Field(
        default=None, description="Worker processes per job; default one per core, fewer for more memory each"
    )
    memory: str = Field(
        default="4GB", pattern=r"^\d+(\.\d+)? ?([kKMGT]i?)?B$", description="Memory per job, for example 4GB"
    )
    walltime: str = Field(
        default="01:00:00", pattern=r"^(\d+-)?\d+:\d\d:\d\d$", description="[days-]hours:minutes:seconds"
    )
    margin: PositiveInt | None = Field(
        default=None,
        description="Seconds before the walltime at which workers end politely; default a tenth, at most 300",
    )
    queue: str | None = Field(default=None, pattern=_LINE, description="SLURM partition")
    account: str | None = Field(default=None, pattern=_LINE)
    interface: str | None = Field(
        default=None, pattern=r"^\S+$", description="Network interface of scheduler and workers, e.g. ib0"
    )
    job_extra_directives: list[Annotated[str, Field(pattern=r"^-[^\n]*$")]] = Field(
        default=[], description="Further #SBATCH lines, for example --constraint=avx512"
    )
    job_script_prologue: list[Annotated[str, Field(pattern=_LINE)]] = Field(
        default=[], description="Shell lines before the worker starts, for example module load python"
    )
    python: str | None = Field(
        default=None, pattern=r"^\S+$", description="Interpreter of the workers; default the present one"
    )
    log_directory: str = Field(
        default="slurm-logs", pattern=r"^\S+$", description="Folder of the jobs' output, on a shared disk"
    )
    security: TlsFiles | None = Field(default=None, description="TLS files; default Dask's configuration")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.minimum_jobs is not None and self.minimum_jobs > self.jobs:
            raise ValueError(
                f"cluster.minimum_jobs = {self.minimum_jobs} exceeds cluster.jobs = {self.jobs}; "
                "jobs is the largest number"
            )
        if self.processes is not None and self.processes > self.cores:
            raise ValueError(
                f"cluster.processes = {self.processes} exceeds cluster.cores = {self.cores}; "
                "take at most one process per core"
            )
        if self.margin is not None and self.margin >= self.walltime_seconds():
            raise ValueError(
                f"cluster.margin = {self.margin} s leaves nothing of cluster.walltime = {self.walltime}; "
                "take a fraction of it"
            )
        if self.walltime_seconds() < 60:
            raise ValueError(
                f"cluster.walltime = {self.walltime} is less than a minute, in which SLURM counts; take more"
            )
        return self

    def walltime_seconds(self) -> int:
        """Time limit of a job in seconds."""
        days, _, clock = self.walltime.rpartition("-")
        hours, minutes, seconds = (int(part) for part in clock.split(":"))
        return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds

    def margin_seconds(self) -> int:
        """Seconds before the time limit at which the last worker of a job should have ended."""
        return self.margin or min(300, self.walltime_seconds() // 10)


ClusterSpec = Annotated[
    LocalCluster | SchedulerFile | SchedulerAddress | SlurmCluster, Field(discriminator="kind")
]
