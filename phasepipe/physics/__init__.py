"""Physics of phase retrieval on the sphere: problem, losses, dynamics, Hessian. NumPy only."""
