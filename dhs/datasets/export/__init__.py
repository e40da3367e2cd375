"""Pairs in the formats that others read, with a card that says what they are."""
