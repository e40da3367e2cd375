"""What a network says of lenses that nobody injected."""
