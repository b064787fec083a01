"""Every figure, and the table of numbers that stands behind it."""
