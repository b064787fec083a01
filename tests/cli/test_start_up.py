"""What starting costs: the command line and the package load only what is asked for."""

import importlib
import os
import resource
import subprocess
import sys

import pytest

import phasepipe as pp
from phasepipe.cli import app
from phasepipe.results import export

HEAVY = ("numpy", "scipy", "xarray", "pandas", "pydantic", "zarr", "dask", "matplotlib", "yaml")
MAIN = "from phasepipe.cli import main; main()"
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]


def python(code, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["phasepipe", "phasepipe.cli"])
def test_importing_loads_nothing_heavy(module):
    loaded = python(f"import sys, {module}; print(*sys.modules)").split()
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize(
    "module", ["results.status", "results.history", "report.page", "execution.job", "cli.run"]
)
def test_what_only_reads_tables_loads_no_numerical_library(module):
    loaded = python(f"import sys, phasepipe.{module}; print(*sys.modules)").split()
    assert not {"scipy", "numba", "matplotlib", "statsmodels", "distributed"} & set(loaded)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_loads_nothing_heavy(command):
    code = f"import sys, atexit\natexit.register(lambda: print('LOADED', *sys.modules))\n{MAIN}"
    _, _, loaded = python(code, command.replace("_", "-"), "--help").partition("LOADED ")
    assert "phasepipe.cli" in loaded.split()
    assert not set(HEAVY) & set(loaded.split()) - {"pydantic"}  # which typer uses itself


def test_help_takes_less_than_half_a_second_of_a_processor():
    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    took = []
    for _ in range(3):
        before = used()
        said = python(MAIN, "--help")
        took.append(used() - before)
    assert "phase-diagram" in said
    assert min(took) < 0.5


def test_names_and_formats_complete_in_a_shell():
    asked = {"_PHASEPIPE_COMPLETE": "complete_bash"}
    code = f"import sys; sys.argv[0] = 'phasepipe'\n{MAIN}"
    assert python(code, **asked, COMP_WORDS="phasepipe ver", COMP_CWORD="1").split() == ["verify"]
    formats = python(code, **asked, COMP_WORDS="phasepipe export --to ", COMP_CWORD="3").split()
    assert formats == [form.value for form in export.Format]


def test_the_formats_of_the_command_are_those_of_the_export():
    command = importlib.import_module("phasepipe.cli.export")
    assert [*command.Format] == [*export.Format]


def test_every_public_name_resolves_and_is_listed():
    found = python("import phasepipe as pp; print(all(getattr(pp, name) for name in pp.__all__), *dir(pp))")
    known, *listed = found.split()
    assert known == "True"
    assert set(pp.__all__) <= set(listed)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pp.nothing


def test_a_module_of_the_package_is_reached_through_it():
    assert (
        python("import phasepipe as pp; print(pp.theory.alpha_init.__module__)")
        == "phasepipe.theory.initial\n"
    )
    assert python("from phasepipe import starts; print(starts.__name__)") == "phasepipe.physics.starts\n"
