"""``make run``: what stands in a name of a sweep is never run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOSTILE = [
    "tiny; touch pwned",
    "tiny$(touch pwned)",
    "$(shell touch pwned)tiny",
    "$$(touch pwned)",
    "`touch pwned`",
    'tiny" ; touch pwned ; "',
    "tiny' ; touch pwned ; '",
    "--help",
    "tiny\ntouch pwned",
]


@pytest.fixture
def project(tmp_path):
    """The Makefile with an environment whose ``phasepipe run`` is a dry run."""
    if shutil.which("make") is None:
        pytest.skip("needs the command make")
    for name in ("Makefile", "config", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    tools = tmp_path / "tools/bin"
    tools.mkdir(parents=True)
    (tools / "phasepipe").write_text(
        f"#!{sys.executable}\nimport sys\nfrom phasepipe.cli import main\n"
        "if sys.argv[1] == 'run':\n    sys.argv.append('--dry-run')\nmain()\n"
    )
    for tool in tools.iterdir():
        tool.chmod(0o755)
    (tmp_path / "tools/installed").touch()

    def make(*arguments, **environment):
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return subprocess.run(
            ["make", "run", "VENV=tools", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path} | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return make


def test_a_sweep_is_checked_and_handed_over(project):
    done = project("SWEEP=tiny")
    assert done.returncode == 0, done.stderr
    assert "sweep 'tiny' is valid" in done.stdout
    assert "This was a dry-run" in done.stdout + done.stderr


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_not_run(project, tmp_path, name):
    for done in (project(f"SWEEP={name}"), project(SWEEP=name)):
        assert done.returncode != 0
        assert "is valid" not in done.stdout
        assert "phasepipe: configuration: there is no sweep" in done.stderr
    assert not (tmp_path / "pwned").exists()
