"""Groups of commands: ``dhs grades ...``, ``dhs export ...``."""
