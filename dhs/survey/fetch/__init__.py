"""Downloads, only because the user asked."""
