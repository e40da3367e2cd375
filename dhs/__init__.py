"""Dark Halo Scope: a paired, interventional audit of lens-finder training sets.

Everything is a pair: one galaxy stamp (``control``) and the noiseless lensed arc added to it (``arc``);
``stamp = control + arc + the arc's own shot noise``. The verbs are those of the command line.
"""

from __future__ import annotations

from importlib import import_module

_WHERE = {
    "audit": "dhs.validation.audit.audit",
    "inject": "dhs.datasets.inject",
    "preflight": "dhs.validation.preflight.preflight",
    "train": "dhs.models.training.train",
    "ablate": "dhs.validation.ablation.ablate",
    "score": "dhs.validation.candidates.candidates",
    "grade_sheet": "dhs.validation.candidates.blind",
    "merge_grades": "dhs.validation.candidates.merge_grades",
    "evaluate": "dhs.validation.evaluation.evaluate",
    "real_lenses": "dhs.validation.real_lenses.real_lenses",
    "realism": "dhs.validation.realism.probe",
    "signoff": "dhs.validation.signoff.signoff",
    "export_pairs": "dhs.datasets.export.pairs",
    "export_truth": "dhs.datasets.export.truth",
    "model_card": "dhs.validation.signoff.model_card",
    "lens_catalogue": "dhs.survey.lenses.searches",
    "fetch": "dhs.survey.fetch.sets",
    "open_pairs": "dhs.datasets.reader",
    "stamp": "dhs.datasets.reader",
    "Run": "dhs.book.run",
    "selftest": "dhs.selftest",
}

__all__ = list(_WHERE)
__version__ = "0.2.0"


def __getattr__(name: str):
    """Import a verb when it is first asked for, so that ``import dhs`` stays light."""
    if name not in _WHERE:
        raise AttributeError(f"module 'dhs' has no attribute {name!r}; it has {__all__}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__():
    return sorted([*__all__, "__version__"])
