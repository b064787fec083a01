"""What a folder of results may hold."""

from __future__ import annotations

STAGES = ("instances", "runs", "spectra")
TABLES = ("theory", "success", "scaling", "fate", "dynamics", "flow_threshold", "precision")
REDUCED = ("counts", "recovery", "window", "decision", "course", "curvature")  # tables of phasepipe reduce
