"""Pictures of a data set: its pairs, how they were injected, and what they were drawn from."""
