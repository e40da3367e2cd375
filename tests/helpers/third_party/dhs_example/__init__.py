"""A package beside dhs that adds one of each kind, as another group would."""
