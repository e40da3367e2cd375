"""The finder in the box: a trained network shipped with the package, its card, and stamps with the logits it gives."""
