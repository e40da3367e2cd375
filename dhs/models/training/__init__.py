"""Training: samples, augmentation, the loop, its monitors."""
