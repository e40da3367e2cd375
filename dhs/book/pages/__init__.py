"""Pages as they were built, and what is wrong with them."""
