"""Fault injection: a small sweep is computed while things are broken, and must come out the same to the bit.

``python -m tests.chaos --faults 200 --seed 1 --to docs/evidence/resilience.md`` runs the campaign.
"""
