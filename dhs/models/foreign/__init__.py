"""Networks that `dhs train` did not make: opened, fed what they expect, and scored like our own."""
