"""Gates that look at pixels: what is left of a pair, its hosts, and stamps that are there twice."""
