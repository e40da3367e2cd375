"""Training with everything on one device: pairs held as integers, stamps made there, steps captured as a graph."""
