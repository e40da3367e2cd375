"""Artefacts flattened to the strings that pages cite."""
