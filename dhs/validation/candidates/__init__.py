"""From cutouts to a list of candidates to grade."""
