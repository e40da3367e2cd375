"""Reading one survey cutout, npz or FITS, into a `HostStamp`; every cutout, real or mock, passes one door.

Layouts
-------
npz, channel last
    ``cutout`` (y, x, 3) and ``meta_ra, meta_dec, meta_pixel_scale, meta_bands_requested, meta_galaxy_id,
    meta_brickname``.
npz, channel first
    ``image_nmgy`` (3, y, x), ``bands, pixscale``; optional ``ra, dec`` degrees, ``invvar`` (3, y, x), ``psf``
    (3, k, k), ``psf_fwhm`` (3,) arcsec, ``exptime`` (3,) seconds, ``z_phot, host_id, brickname, flags``. Without a
    position a stamp is flagged ``position_unknown``, split by its id, and not matched with known lenses. ``mask``
    (anything but 0 is bad) and ``maskbits`` (the survey's) are (y, x) or (3, y, x) whole numbers.
FITS
    Of the Legacy Surveys cutout service: see `dhs.survey.hosts.cutouts.fits`.

Centring
--------
The centre pixel of an n-pixel side is n // 2 (the target of an odd-sized cutout lies on it; in an even-sized one half
a pixel below). The crop puts it on pixel 32: a target of an odd-sized cutout then lies at (32, 32), half a pixel from
the stamp's geometric centre (31.5, 31.5), and one of an even-sized cutout at (31.5, 31.5). Nothing is resampled;
``x_arcsec, y_arcsec`` of the stamp hold where the light's centroid is.
"""

from dhs.survey.hosts.cutouts.checks import MAX_MASKED_FRACTION, PLAUSIBLE_FWHM
from dhs.survey.hosts.cutouts.door import stamp_of
from dhs.survey.hosts.cutouts.files import SUFFIXES, read_cutout, read_fits, read_npz

__all__ = ["MAX_MASKED_FRACTION", "PLAUSIBLE_FWHM", "SUFFIXES", "read_cutout", "read_fits", "read_npz", "stamp_of"]
