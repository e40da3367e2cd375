"""Source galaxies: one catalogue a file, one protocol (`base`), `open` chooses."""
