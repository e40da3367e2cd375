"""From a host and a source to a pair: priors, rendering, noise, hard negatives."""
