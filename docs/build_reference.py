"""Write the reference of the package from its docstrings: python docs/build_reference.py build/reference.

Whatever pdoc warns about (a name that does not resolve, a docstring that does not parse) is an error.
"""

import importlib.util
import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc

import phasepipe


def build(folder: Path) -> None:
    """Write one HTML page per module into ``folder``."""
    for name in phasepipe.__all__:
        setattr(phasepipe, name, getattr(phasepipe, name))  # pdoc does not ask for what is imported on demand
    pdoc.render.configure(docformat="numpy", footer_text=f"phasepipe {phasepipe.__version__}")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        # a package with __all__ would hide its modules, so each is named, and some are met twice
        warnings.filterwarnings("ignore", "The module specification .* adds a module")
        # what typing.NamedTuple makes of a class does not know the names of its module
        warnings.filterwarnings("ignore", "Error parsing type annotation ForwardRef")
        names = [module.name for module in pkgutil.walk_packages(phasepipe.__path__, "phasepipe.")]
        if importlib.util.find_spec("torch") is None:  # optional, and this one module needs it
            names.append("!phasepipe.physics.torch_arrays")
            warnings.filterwarnings("ignore", "Couldn't import phasepipe.physics.torch_arrays")
        pdoc.pdoc("phasepipe", *names, output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
