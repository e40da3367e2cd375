"""From a cutout's content to a `HostStamp`: every cutout, real or mock, passes this door."""

from __future__ import annotations

import numpy as np

from dhs.survey import facts, sky
from dhs.survey.hosts.cutouts import checks
from dhs.survey.hosts.cutouts.npz_keys import OPTIONAL
from dhs.survey.hosts.cutouts.values import Door, number, per_band, text
from dhs.survey.hosts.stamp import HostStamp


def stamp_of(content: dict, name: str, row: int = -1, shape: bool = True, whole: bool = False) -> HostStamp:
    """A stamp from pixels already read, checked as a cutout is.

    Parameters
    ----------
    content : dict
        ``image`` (bands, y, x) nanomaggies, ``bands``, ``ra, dec`` degrees, ``pixel_scale`` arcsec; and, where known,
        ``invvar, psf, psf_fwhm, exptime, z_phot, host_id, brickname, flags, survey`` as in an npz cutout.
    name : str
        File, for messages and for ``HostStamp.file``.
    row : int
    shape : bool
        Measure the light's ellipticity and centroid; else they are 0 and the target's nominal place.
    whole : bool
        The pixels were made here, so none can be missing: the search for holes is left out.

    Raises
    ------
    InputRefused
        See `read_cutout`.
    """
    return through_door(Door(name, row), dict.fromkeys(OPTIONAL) | content, shape, whole)


def through_door(door: Door, content: dict, shape: bool = True, whole: bool = False) -> HostStamp:
    """Check a cutout's content and derive what a `HostStamp` holds."""
    door.host_id = text(door, content.get("host_id"), "host_id") or door.host_id
    image = checks.select(door, content["image"], content["bands"], "image")
    crop = checks.centre_crop(image)
    invvar = None
    if content["invvar"] is not None:
        if content["invvar"].shape != content["image"].shape:
            raise door.refuse(
                "wrong_shape",
                f"invvar {content['invvar'].shape} and image {content['image'].shape} differ in shape",
                "Store both with the same bands and size.",
            )
        invvar = checks.centre_crop(checks.select(door, content["invvar"], content["bands"], "invvar"))
        checks.check_invvar(door, invvar)
    seen = invvar
    if (bad := checks.spoilt(door, content)) is not None:
        invvar = None if invvar is None else np.where(bad, np.float32(0), invvar)
        seen = invvar if invvar is not None else (~bad).astype(np.float32)
        checks.check_masked(door, seen)
    if not whole:
        checks.check_pixels(door, crop, seen)
    place = checks.place_of(door, content)
    mask = sky.sky_mask(crop, seen)
    lag1, correlation_sum = sky.noise_correlation(crop, mask)
    if invvar is not None:
        nominal = sky.sky_sigma_invvar(invvar, mask)
        delivered = nominal / np.sqrt(correlation_sum)
        if not whole:
            checks.check_agreement(door, delivered, crop)
    else:
        delivered = sky.sky_sigma_mad(crop, mask)
        nominal = delivered * np.sqrt(correlation_sum)
    checks.check_units(door, nominal)
    survey = checks.survey_of(door, content)
    psf_image, psf_fwhm, flags = checks.psf_of(door, content, survey)
    if content["exptime"] is not None:
        gain = survey.gain_from_exposures(per_band(door, content["exptime"], "exptime", 1.0, 1e7))
    else:
        gain = survey.gain_from_sky_noise(nominal)
        flags += ["gain_assumed"] if invvar is None else []
    flags += ["sigma_from_mad"] if invvar is None else []
    given = np.atleast_1d(content["flags"] if content["flags"] is not None else [])
    flags += [f for f in (text(door, value, "flags") for value in given) if f]
    flags += [] if np.isfinite(place["ra"]) else ["position_unknown"]
    # An odd-sized cutout has its target on a pixel, an even-sized one between two (module docstring).
    first_guess = tuple(facts.STAMP / 2 - 0.5 * (n % 2 == 0) for n in image.shape[:0:-1])
    e1, e2, x, y = 0.0, 0.0, *first_guess
    if shape:
        e1, e2, x, y = sky.light_shape(crop[1], first_guess, float(psf_fwhm[1]), float(np.median(crop[1][mask])))
    middle = (facts.STAMP - 1) / 2
    return HostStamp(
        host_id=door.host_id,
        **place,
        image=crop,
        invvar=invvar,
        psf=psf_image,
        psf_fwhm=psf_fwhm,
        sky_sigma=delivered,
        gain=gain,
        e1=e1,
        e2=e2,
        x_arcsec=(x - middle) * facts.PIXEL_SCALE,
        y_arcsec=(y - middle) * facts.PIXEL_SCALE,
        lag1=lag1,
        z_phot=float(facts.known_redshift(number(door, content["z_phot"], "z_phot"))),
        flags=tuple(sorted(flags)),
        file=door.name,
        row=door.row,
        survey=survey.name,
    )
