"""A hard negative: the arc's light mirrored through the galaxy, where no lens equation holds."""

from dhs.injection.hard_negatives.base import NoNegative, hard_negative, of_flux


@hard_negative("mirrored", label="mirrored arcs", of_arc_light=True)
def mirrored(scene, rng):
    """(n, n) light, left and right exchanged; none where the lens is far from the middle."""
    if abs(scene.lens.x) > 1.0:
        raise NoNegative("lens_is_off_centre")
    return of_flux(scene.light[:, ::-1].copy(), scene.light)
