"""What comes with the package besides its modules: the workflow, its profiles, a configuration with the demo.

Git holds one copy of them, at the top of the clone. A wheel carries them as ``phasepipe/workflow_files``
(``pyproject.toml``); an editable installation uses those of the clone.
"""

from __future__ import annotations

import re
from pathlib import Path

from phasepipe.errors import SweepError

_PACKAGE = Path(__file__).parents[1]
_RULE = re.compile(r"^(?:rule|checkpoint) (\w+):", re.MULTILINE)


def workflow_folder() -> Path:
    """The folder that holds ``Snakefile``, ``workflow/`` and ``config/``.

    Raises
    ------
    SweepError
        If the installation lacks them.
    """
    for folder in (_PACKAGE / "workflow_files", _PACKAGE.parent):
        if (folder / "Snakefile").is_file():
            return folder
    raise SweepError(f"the installation of phasepipe in {_PACKAGE} lacks its workflow; install it again")


def snakefile() -> Path:
    """The Snakefile of the workflow, for ``snakemake --snakefile`` and for ``module:`` statements."""
    return workflow_folder() / "Snakefile"


def shipped_configuration() -> Path:
    """The configuration file with the sweeps ``demo`` and ``tiny``."""
    return workflow_folder() / "config/config.yaml"


def schema_file() -> Path:
    """The JSON schema of configuration files."""
    return workflow_folder() / "workflow/schemas/config.schema.json"


def profile(name: str) -> Path:
    """A profile of Snakemake: one that comes with phasepipe, or a folder or file of the user's own.

    Raises
    ------
    SweepError
        If there is none.
    """
    shipped = workflow_folder() / "workflow/profiles"
    names = sorted(folder.name for folder in shipped.iterdir() if folder.is_dir())
    if name in names:
        return shipped / name
    own = Path(name)
    if name and (own.is_file() or (own / "config.yaml").is_file()):
        return own.absolute()
    raise SweepError(
        f"--profile {name}: there is no such profile; use {' or '.join(names)}, or a folder with config.yaml"
    )


def rule_names() -> list[str]:
    """Names of all rules of the workflow, in the order of its files."""
    files = [snakefile(), *sorted((workflow_folder() / "workflow/rules").glob("*.smk"))]
    return [name for file in files for name in _RULE.findall(file.read_text())]
