"""The networks, each with one logit."""
