"""Checks of stamps and labels, one family a module; each registers itself."""
