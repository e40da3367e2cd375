"""Pictures of a network: how it learnt, what it looks at, which hosts it needs."""
