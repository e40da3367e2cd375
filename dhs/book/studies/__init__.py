"""Studies that chapters of the book show; no verb depends on them."""
