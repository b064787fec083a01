"""The configuration of a sweep: one typed and validated module for each key, without Dask or Zarr."""
