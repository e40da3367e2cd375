"""What a survey is: its record, its hosts, its lenses, its mock sky."""
