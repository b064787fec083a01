"""Fault injection: faults disturb the computation of a small sweep, whose results must stay bitwise equal.

``python -m tests.chaos --faults 200 --seed 1 --to docs/evidence/resilience.md`` runs the campaign.
"""
