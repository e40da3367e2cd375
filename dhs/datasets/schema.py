"""The pairs data set's columns: one row is one pair.

`PAIR_SCHEMA` and `NEGATIVE_SCHEMA` are what the reader gives: images are float32 tensors. On disk (`stored`) an image
is a blob of `dhs.encoding`; a part whose image columns are tensors is read as well.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 3
SPLITS = ("train", "val", "test")
BANDS = ("g", "r", "z")
STAMP_SHAPE = (3, 64, 64)

IMAGE = pa.fixed_shape_tensor(pa.float32(), STAMP_SHAPE)
PSF_IMAGE = pa.fixed_shape_tensor(pa.float32(), (3, 63, 63))


def _per_band(name: str) -> list[tuple[str, pa.DataType]]:
    stem, _, unit = name.partition("|")
    return [(f"{stem}_{band}{unit}", pa.float32()) for band in BANDS]


PAIR_SCHEMA = pa.schema(
    [
        pa.field("pair_id", pa.int64(), nullable=False),
        ("host_id", pa.string()),
        ("source_id", pa.string()),
        ("split", pa.string()),
        ("brickname", pa.string()),
        ("healpix", pa.int64()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("control", IMAGE),
        ("arc", IMAGE),
        *_per_band("sky_sigma"),
        ("theta_e_arcsec", pa.float32()),
        ("q", pa.float32()),
        ("phi_rad", pa.float32()),
        ("gamma1", pa.float32()),
        ("gamma2", pa.float32()),
        ("slope", pa.float32()),
        ("lens_x_arcsec", pa.float32()),
        ("lens_y_arcsec", pa.float32()),
        ("src_x_arcsec", pa.float32()),
        ("src_y_arcsec", pa.float32()),
        ("src_phi_rad", pa.float32()),
        ("flux_scale", pa.float32()),
        ("z_lens", pa.float32()),
        ("z_source", pa.float32()),
        ("sigma_v_kms", pa.float32()),
        ("lens_mag_r", pa.float32()),
        ("population_weight", pa.float32()),
        ("n_rejected", pa.int16()),
        ("arc_snr_matched", pa.float32()),
        ("arc_snr_maxpix", pa.float32()),
        ("magnification", pa.float32()),
        ("n_images", pa.int16()),
        ("src_r50_arcsec", pa.float32()),
        ("arc_r50_arcsec", pa.float32()),
        *_per_band("arc_flux"),
        *_per_band("psf_fwhm|_arcsec"),
        *_per_band("gain"),
        ("lag1", pa.float32()),
        ("flags", pa.list_(pa.string())),
        ("rng_key", pa.string()),
        ("invvar", IMAGE),
        ("psf", PSF_IMAGE),
    ],
    metadata={b"dhs_schema_version": str(SCHEMA_VERSION).encode()},
)
"""Stamps are nanomaggies, channel-first g, r, z. ``stamp = control + arc + shot noise`` of the arc, the noise
regenerated from ``rng_key``. ``invvar`` is null where the host has none; it is the host's own, without the arc's shot
noise (`dhs.datasets.reader.stamp_invvar`). ``psf`` holds the host's PSF images, padded with zeros to 63 pixels a side,
null where it has none. ``sigma_v_kms`` is that of an isothermal lens of this Einstein radius at the two redshifts,
``lens_mag_r`` the host's total r magnitude (`dhs.survey.photometry`), ``population_weight`` the density of the lens
population over that of the draw (`dhs.injection.priors`), ``n_rejected`` the draws rejected before this one.
Half-light radii: of the source about its centre, and of the lensed light before the PSF about the lens."""

NEGATIVE_SCHEMA = pa.schema(
    [
        pa.field("pair_id", pa.int64(), nullable=False),
        ("host_id", pa.string()),
        ("source_id", pa.string()),
        ("split", pa.string()),
        ("kind", pa.string()),
        ("light", IMAGE),
        ("arc_snr_matched", pa.float32()),
        ("contrast", pa.float32()),
        ("rng_key", pa.string()),
    ],
    metadata={b"dhs_schema_version": str(SCHEMA_VERSION).encode()},
)
"""Hard negatives, ``pairs/negatives/split=*/part-*.parquet``: ``light`` replaces the pair's arc, so the negative is
``control + light + shot noise`` of the light."""

IMAGE_COLUMNS = ("control", "arc", "invvar", "psf", "light")
NOISY_COLUMNS = ("control",)  # stored in steps that show, so read with a dither
SCALARS = tuple(f.name for f in PAIR_SCHEMA if f.name not in IMAGE_COLUMNS)


def stored(schema: pa.Schema) -> pa.Schema:
    """A schema as it lies on disk: images encoded, as binary."""
    fields = [pa.field(f.name, pa.binary()) if f.name in IMAGE_COLUMNS else f for f in schema]
    return pa.schema(fields, metadata=schema.metadata)


STRATIFIERS = (
    "theta_e_arcsec",
    "arc_snr_matched",
    "arc_snr_maxpix",
    "magnification",
    *(f"psf_fwhm_{band}_arcsec" for band in "grz"),
    *(f"sky_sigma_{band}" for band in "grz"),
)
SCORE_SCHEMA = pa.schema(
    [("pair_id", pa.int64())]
    + [(name, pa.string()) for name in ("host_id", "source_id", "kind", "subkind", "split")]
    + [(name, pa.float32()) for name in ("logit", "logit_core_masked", "host_mag_r", *STRATIFIERS)]
)
"""One row per stamp scored. A control and a hard negative carry the stratifiers of their pair, the hard negative
its own ``arc_snr_matched``; ``host_mag_r`` is an aperture magnitude of the host without the arc; a cutout has
``pair_id`` -1 and NaN for what belongs to an arc."""

ASSUMPTIONS = {
    "psf_assumed": "the host's PSF is not its own but a typical one",
    "gain_assumed": "the gain follows from measured sky noise and the survey's typical sky",
    "sigma_from_mad": "the noise is measured on the stamp, no inverse variance came with it",
    "psf_cropped": "the host's PSF image was cut to 63 pixels a side; less than 1 % of its light lay outside",
    "position_unknown": "the host's position is unknown: split by its id, not matched with known lenses",
}
"""Flags of a row that stand for something taken for granted of its host."""
