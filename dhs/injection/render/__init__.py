"""The noiseless arc: rays, PSF, and the lenstronomy reference."""
