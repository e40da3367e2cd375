"""Pairs on disk: made, written, read, split, registered."""
