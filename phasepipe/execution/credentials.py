"""Credentials for encrypted and mutually authenticated connections between the processes of a cluster.

Whoever can connect to a Dask scheduler can run code as its owner. Every cluster that phasepipe starts
therefore gets a certificate of its own. It exists only in memory, in scheduler files and in the folder of
SLURM jobs, always readable by the owner alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from distributed import Client, Security

from phasepipe.errors import ClusterError
from phasepipe.specification.cluster import TlsFiles
from phasepipe.store.atomic import draft_of, remove_leftovers, replace_bytes

_VALID = timedelta(days=3650)  # before and after now: the clocks of the nodes may differ, and may jump
_KEY = "credentials"  # in a scheduler file


@dataclass(frozen=True)
class Credentials:
    """Certificate of the authority, own certificate and its key: PEM texts, or paths of PEM files."""

    ca: str
    cert: str
    key: str

    def security(self) -> Security:
        """Settings with which scheduler, workers and clients accept only each other."""
        roles = {
            f"tls_{role}_{part}": getattr(self, part)
            for role in ("scheduler", "worker", "client")
            for part in ("cert", "key")
        }
        return Security(require_encryption=True, tls_ca_file=self.ca, **roles)

    @classmethod
    def of(cls, client: Client) -> Self | None:
        """Credentials of a client if they exist only in memory, else None."""
        security = client.security
        texts = (security.tls_ca_file, security.tls_client_cert, security.tls_client_key)
        return cls(*texts) if all(text is not None and "\n" in text for text in texts) else None

    @classmethod
    def from_scheduler_file(cls, content: Mapping[str, Any]) -> Self | None:
        """Credentials in the content of a scheduler file; None for one that Dask has written."""
        return None if _KEY not in content else cls(**content[_KEY])

    def in_scheduler_file(self) -> dict[str, Any]:
        """Entry of a scheduler file."""
        return {_KEY: asdict(self)}


def make_credentials() -> Credentials:
    """A new key with a certificate that it signs itself.

    Like ``Security.temporary()`` of Dask, but with an elliptic curve, which takes less time, and valid also
    where a clock is behind: that certificate would be refused before the second in which it was made.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "phasepipe")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID)
        .not_valid_after(now + _VALID)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Credentials(pem, pem, private.decode())


def credentials_from(files: TlsFiles) -> Credentials:
    """The credentials that the key ``cluster.security`` names.

    Raises
    ------
    ClusterError
        If a file cannot be read, or they do not belong together.
    """
    for key, path in files.model_dump().items():
        if not (Path(path).is_file() and os.access(path, os.R_OK)):
            raise ClusterError(
                f"cluster.security.{key} = {path!r} is not a readable file; give the path of a PEM file"
            )
    credentials = Credentials(*(str(Path(path).resolve()) for path in (files.ca_file, files.cert, files.key)))
    try:
        credentials.security().get_connection_args("client")
    except OSError as error:  # includes ssl.SSLError
        raise ClusterError(
            f"the files of cluster.security do not match ({error}); "
            "ca must have signed cert, and key must be its key"
        ) from error
    return credentials


@contextmanager
def on_shared_disk(credentials: Credentials, folder: Path) -> Iterator[Credentials]:
    """Credentials that workers on other machines can read: a file in ``folder`` while the block runs.

    Credentials that are files already stay what they are.

    Raises
    ------
    ClusterError
        If the file cannot be written.
    """
    if "\n" not in credentials.key:
        yield credentials
        return
    name = folder / "credentials"
    file = draft_of(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(name)  # of killed processes
        replace_bytes(file, f"{credentials.key}{credentials.cert}".encode(), mode=0o600)
    except OSError as error:
        raise ClusterError(
            f"cluster.log_directory = {str(folder)!r} cannot be written ({error.strerror}); "
            "choose another folder"
        ) from error
    try:
        path = str(file.resolve())
        yield Credentials(path, path, path)
    finally:
        file.unlink(missing_ok=True)
