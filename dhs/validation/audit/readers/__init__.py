"""Ways in which people keep stamps and labels."""
