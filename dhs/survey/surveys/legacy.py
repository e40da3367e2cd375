"""The DESI Legacy Imaging Surveys: DECam in the south, BASS and MzLS in the north.

Dey et al. 2019, AJ 157, 168 (design, seeing, sky); legacysurvey.org/dr10/description; zero-points of DECam as in
legacypipe, ``decam.py``.
"""

from dhs.survey.survey import Band, Survey, surveys

LEGACY_SURVEYS = Survey(
    name="legacy",
    title="DESI Legacy Imaging Surveys",
    bands=(
        Band("g", 22.0, 1.3, "decamDR1-g", "BASS-g", 25.001),
        Band("r", 20.9, 1.2, "decamDR1-r", "BASS-r", 25.209),
        Band("z", 18.7, 1.1, "decamDR1-z", "MzLS-z", 24.875),
    ),
    pixel_scale=0.262,
    detector_gain=4.0,
    lag1_correlation=0.14,  # six real DR10 stamps: 0.09 to 0.18
    north_dec=32.375,  # legacysurvey.org/dr9/description
)
surveys.add("legacy", LEGACY_SURVEYS)
