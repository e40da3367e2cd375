"""Mock hosts, scenes and survey negatives, with the magnitudes and colours of real galaxies."""
