"""From counts and labelled runs to success curves, scaling with N and the fate of runs: numbers only."""
