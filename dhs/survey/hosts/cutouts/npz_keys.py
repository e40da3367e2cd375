"""Names under which an npz cutout holds its content, and names that are meant for one of them but are not read."""

from __future__ import annotations

OPTIONAL = ("invvar", "mask", "maskbits", "psf", "psf_fwhm", "exptime", "z_phot")
OPTIONAL += ("host_id", "brickname", "flags", "survey")
META = ("ra", "dec", "pixel_scale", "bands_requested", "has_g", "has_r", "has_z", "galaxy_id", "brickname")
KEYS = {"image_nmgy", "bands", "ra", "dec", "pixscale", "cutout", *OPTIONAL, *(f"meta_{k}" for k in META)}
_MEANT = {
    "invvar": ("ivar", "inv_var", "inverse_variance", "inversevariance", "weight", "weights", "wht"),
    "mask": ("bad", "badpix", "bad_pixels", "masked"),
    "psf_fwhm": ("fwhm", "psfsize", "psf_size", "seeing"),
    "z_phot": ("redshift", "photo_z", "photoz", "zphot", "z_phot_median", "z_phot_mean"),
    "pixscale": ("pixel_scale", "pixelscale", "pix_scale"),
    "ra": ("raj2000", "right_ascension", "target_ra"),
    "dec": ("dej2000", "declination", "target_dec"),
    "exptime": ("exposure_time", "exptimes"),
    "image_nmgy": ("image", "images", "img", "flux"),
}
_OTHER = {other: key for key, others in _MEANT.items() for other in others}


def misnamed(keys) -> dict[str, str]:
    """{key: the one that is read} of keys that look like a known one and are not; where that one is there, none."""
    there, found = set(keys), {}
    for key in keys:
        small = key.lower()
        meant = small if small in KEYS else _OTHER.get(small)
        if key not in KEYS and meant and meant not in there and f"meta_{meant}" not in there:
            found[key] = meant
    return found
