"""Hard negatives: what looks like an arc and is none."""
