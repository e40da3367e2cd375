"""The Dark Energy Survey's coadds: DECam throughout, better seeing than the Legacy Surveys' south.

Seeing and noise correlation are those of stars and sky in 46 stamps of luminous red galaxies (deepskies/
deeplenstronomy); the sky is the same camera's. Coadds have a zero-point of 30 (Abbott et al. 2018, ApJS 239, 18).
"""

from dhs.survey.survey import Band, Survey, surveys

DES = Survey(
    name="des",
    title="Dark Energy Survey",
    bands=(
        Band("g", 22.0, 1.16, "decamDR1-g", "decamDR1-g", 25.001),
        Band("r", 20.9, 0.90, "decamDR1-r", "decamDR1-r", 25.209),
        Band("z", 18.7, 0.78, "decamDR1-z", "decamDR1-z", 24.875),
    ),
    pixel_scale=0.263,
    zero_point=30.0,
    detector_gain=4.0,
    lag1_correlation=0.16,
    acknowledgement="DES coadds: acknowledge the Dark Energy Survey wherever its images are shown.",
)
surveys.add("des", DES)
