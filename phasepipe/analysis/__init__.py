"""From counts and arrays to success curves, scaling and figures. No files, no store."""
