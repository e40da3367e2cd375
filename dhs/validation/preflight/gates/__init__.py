"""The built-in gates, one subject a file."""
