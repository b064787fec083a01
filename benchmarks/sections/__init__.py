"""One module per section; each has ``measure(plan)`` that returns its tables."""
