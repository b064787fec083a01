"""Measurements of phasepipe against the machine and against what people write without it."""
