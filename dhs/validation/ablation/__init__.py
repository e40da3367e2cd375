"""Which ingredients of a training matter, as paired differences."""
