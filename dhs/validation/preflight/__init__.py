"""Gates that say whether a set is fit to train on."""
