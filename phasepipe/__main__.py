"""``python -m phasepipe`` is the command ``phasepipe``."""

from phasepipe.cli import main

main()
