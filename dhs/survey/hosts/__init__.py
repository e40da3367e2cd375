"""Host galaxies: one reader a file, and `open`, the door through which every host comes."""
