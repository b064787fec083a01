"""A small sweep, for every test that needs one."""

import copy
import shutil
import subprocess

import pytest

from phasepipe.pipeline.configuration import load_sweep

SMALL = {
    "loss": {"kind": "normalised_quartic", "a": 0.01},
    "N": [12],
    "alpha": [2, 4],
    "instances": 4,
    "starts": [{"kind": "random", "count": 2}],
    "t_max": 5,
    "block_instances": 2,
    "seed": 7,
}


@pytest.fixture(scope="session")
def configuration():
    """Content of a configuration file with one small sweep; keywords change keys, None drops one."""

    def make(**changes):
        settings = copy.deepcopy(SMALL) | changes
        kept = {key: value for key, value in settings.items() if value is not None}
        return {"sweep": "small", "sweeps": {"small": kept}}

    return make


@pytest.fixture(scope="session")
def make_sweep(configuration):
    """A validated small sweep; keywords change its keys."""
    return lambda **changes: load_sweep(configuration(**changes))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """TLS files of a certificate authority made here: the section ``security`` of a cluster."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl")
    folder = tmp_path_factory.mktemp("tls")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    for arguments in (
        ["req", "-x509", *curve, "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", *curve, "-subj", "/CN=phasepipe", "-keyout", "key.pem", "-out", "request.pem"],
        ["x509", "-req", "-days", "2", "-in", "request.pem", *signed, "-out", "cert.pem"],
    ):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    return {
        key: str(folder / f"{name}.pem")
        for key, name in (("ca_file", "ca"), ("cert", "cert"), ("key", "key"))
    }
