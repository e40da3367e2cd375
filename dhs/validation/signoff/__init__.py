"""GO, CONDITIONAL-GO or NO-GO, from rules that are data."""
