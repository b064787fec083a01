#!/usr/bin/env bash
# The package is installed from the clone: a registry may not have it, or may have another one under its name.
set -euo pipefail
if ! grep -qs '^name = "phasepipe"' pyproject.toml; then
    echo "phasepipe: conda environments for single rules need a clone; start there, or install phasepipe with conda" >&2
    exit 1
fi
python -m pip install --disable-pip-version-check --constraint constraints.txt .
