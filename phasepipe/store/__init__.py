"""Zarr: the layout of the stores of a sweep, and reading and writing them safely."""
