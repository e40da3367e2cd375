"""Training with everything on one device: pairs held there as integers, stamps made there, steps captured as a graph."""
