"""What decides the results of a run, between the physics and the stores."""
