"""Benchmarks of phasepipe against the peak rates of the machine and against simple scripts."""
