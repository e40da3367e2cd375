"""From stamps to logits: decoding, preprocessing, networks, scoring."""
