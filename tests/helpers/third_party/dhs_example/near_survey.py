"""A survey with a worse sky and its own unit, and what its stamps need to be read."""

from dhs.survey.survey import Band, Survey, surveys

NEAR = Survey(
    name="near",
    title="A survey nearby",
    bands=(
        Band("g", 21.0, 1.9, "decamDR1-g", "decamDR1-g", 25.0),
        Band("r", 20.0, 1.8, "decamDR1-r", "decamDR1-r", 25.0),
        Band("z", 18.0, 1.7, "decamDR1-z", "decamDR1-z", 25.0),
    ),
    pixel_scale=0.2625,
    zero_point=25.0,
    detector_gain=2.0,
    acknowledgement="Images of a survey nearby.",
)
surveys.add("near", NEAR)
