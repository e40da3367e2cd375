"""What a network's scores say: discrimination, calibration, completeness, interventions, failures."""
