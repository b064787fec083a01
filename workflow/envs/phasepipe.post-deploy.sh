#!/usr/bin/env bash
# The package is installed from this checkout: a registry may not have it, or may have another one under its name.
set -euo pipefail
python -m pip install --disable-pip-version-check --constraint constraints.txt .
