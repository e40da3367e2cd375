"""What could have been missed (stub)."""


def missed(data, gates) -> list[dict]:
    return []
