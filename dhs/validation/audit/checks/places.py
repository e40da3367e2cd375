"""Places that cannot know of a lens, and two that can."""

from __future__ import annotations

from dhs.validation.audit.check import check, family_verdict

OUTSIDE = (
    "Look at the pictures of pixels that separate the classes: a frame, a fill value, another resampling or another "
    "cut-out step was used for one class. Make both classes by the same steps."
)
FAINT = 0.05  # an arc's faintest light reaches there
INSIDE = (
    "Lens galaxies and arcs may differ here honestly. With pairs (`dhs inject`) the physical expectation is computed; "
    "without, match the negatives to the positives in brightness, colour and size, and evaluate a network with "
    "its core masked."
)


@check("border", number=10, remedy=OUTSIDE)
def border(data):
    """Two outermost lines of pixels on each side."""
    return family_verdict(data, "border", "the outermost two lines of pixels")


@check("corners", number=11, remedy=OUTSIDE)
def corners(data):
    """Small squares in the four corners."""
    return family_verdict(data, "corners", "the four corners")


@check("outskirts", number=12, remedy=OUTSIDE)
def outskirts(data):
    """Beyond 85 hundredths of half the side."""
    return family_verdict(data, "outskirts", "pixels far from the middle, the corners among them,", margin=FAINT)


@check("noise_power", number=13, remedy=OUTSIDE + " Noise of one kind must lie under both classes.")
def noise_power(data):
    """The corners' power spectrum: resampling, smoothing and drizzling change it."""
    return family_verdict(data, "noise power", "the power spectrum of the corners")


@check("core", number=14, blocking=False, remedy=INSIDE)
def core(data):
    """Light of the middle, by sector."""
    return family_verdict(data, "core", "the core, 5 of 32 pixels,")


@check("radial_profile", number=15, blocking=False, remedy=INSIDE)
def radial_profile(data):
    """Means of rings: all that is left of an arc when its angle is forgotten."""
    return family_verdict(data, "radial profile", "means of rings")
