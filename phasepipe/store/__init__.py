"""The sweep specification, its blocks, its store, and the Dask cluster that computes it."""
