"""What the survey is: its facts, its hosts, its lenses, its mock sky; no other room knows a constant of it."""
