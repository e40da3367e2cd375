"""``manifest.json``: what a pairs data set is and what it was made from."""

from __future__ import annotations

from dhs.artefacts.parts import Part


class Inputs(Part):
    """Hosts or sources of a data set.

    Attributes
    ----------
    kind, spec : str
        How they were read, and from where.
    mock : bool
        They are made up: no number describes the sky.
    n, refused : int
        Used, and refused (in ``quarantine.parquet``).
    per_split : dict of str to int
    """

    kind: str
    spec: str
    mock: bool
    n: int
    refused: int
    per_split: dict[str, int]


class Hosts(Inputs):
    """``known_lens_catalogue`` is what they were matched with."""

    known_lens_catalogue: str | None = None


class Sources(Inputs):
    """``limits`` say in sentences what their images can't show."""

    limits: tuple[str, ...] = ()


class Draws(Part):
    """Lens and source draws: accepted, and rejected by reason."""

    accepted: int
    rejected: dict[str, int]


class Manifest(Part):
    """What ``manifest.json`` holds.

    Attributes
    ----------
    schema_version, seed : int
    counts : dict of str to int
        Pairs a split.
    negatives : dict
        Hard negatives by kind; ``refused`` by reason.
    content_hash : str
        SHA-256 over the names and bytes of all parts.
    """

    schema_version: int
    seed: int | None = None
    counts: dict[str, int]
    hosts: Hosts
    sources: Sources
    draws: Draws
    negatives: dict
    content_hash: str
