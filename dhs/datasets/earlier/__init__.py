"""The earlier data format, read where it lies."""
