"""A folder with the workflow and a configuration of its own, in which Snakemake runs as a user runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.chunks import dated_chunks

ROOT = Path(__file__).parents[2]
SWEEP = {"starts": [{"kind": "random", "count": 2}], "block_instances": 2}


class Project:
    """A folder with the workflow and a configuration of its own."""

    def __init__(self, root):
        self.root = root

    @classmethod
    def new(cls, root, content):
        (root / "config").mkdir(parents=True)
        for name in ("Snakefile", "workflow"):
            (root / name).symlink_to(ROOT / name)
        project = cls(root)
        project.configure(content)
        return project

    def copy(self, root):
        shutil.copytree(self.root, root, symlinks=True)
        return Project(root)

    def configure(self, content):
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (self.root / "config/config.yaml").write_text(text)

    def snakemake(self, *arguments, cores=("--cores", "2"), **environment):
        """Run snakemake; returns exit code and everything it said."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *cores, *arguments],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": path} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        return done.returncode, done.stdout

    @property
    def results(self):
        return self.root / "results/small"

    def chunks(self):
        """Bytes and times of all chunks of data in the block stores."""
        return {
            store / key: dated
            for store in self.results.glob("*/N*.zarr")
            for key, dated in dated_chunks(store).items()
        }


@pytest.fixture(scope="session")
def new_project():
    """Makes a project in a folder, with the content of its configuration file."""
    return Project.new


@pytest.fixture(scope="session")
def finished(tmp_path_factory, configuration, new_project):
    """A project whose sweep has run; never changed, only copied."""
    project = new_project(tmp_path_factory.mktemp("workflow") / "finished", configuration(**SWEEP))
    code, said = project.snakemake()
    assert code == 0, said
    return project


@pytest.fixture
def project(finished, tmp_path):
    return finished.copy(tmp_path / "project")
