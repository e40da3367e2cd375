"""Catalogues of positions, and the list of real lenses."""
