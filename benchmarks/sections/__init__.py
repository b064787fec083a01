"""One module per section; the function ``measure(plan)`` of each returns its tables."""
