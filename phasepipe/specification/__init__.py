"""The sweep file: one module for each key, typed and checked; knows neither Dask nor Zarr."""
