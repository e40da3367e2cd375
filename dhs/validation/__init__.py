"""Programs that judge: preflight, evaluation, realism, real lenses, candidates, ablation, sign-off.

They are rooms of this one and not of `dhs` itself, since a package ``dhs.preflight`` would hide the verb.
"""
