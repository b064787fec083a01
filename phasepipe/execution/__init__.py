"""Dask: clusters, blocks of work, progress, and the filling of stores."""
