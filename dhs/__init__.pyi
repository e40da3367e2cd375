"""The verbs, for editors and type checkers, which do not run `dhs.__getattr__`."""

from dhs.book.run import Run as Run
from dhs.datasets.export.pairs import export_pairs as export_pairs
from dhs.datasets.export.truth import export_truth as export_truth
from dhs.datasets.inject import inject as inject
from dhs.datasets.reader import open_pairs as open_pairs
from dhs.datasets.reader import stamp as stamp
from dhs.models.training.train import train as train
from dhs.selftest import selftest as selftest
from dhs.survey.fetch.sets import fetch as fetch
from dhs.survey.lenses.searches import lens_catalogue as lens_catalogue
from dhs.validation.ablation.ablate import ablate as ablate
from dhs.validation.audit.audit import audit as audit
from dhs.validation.candidates.blind import grade_sheet as grade_sheet
from dhs.validation.candidates.candidates import score as score
from dhs.validation.candidates.merge_grades import merge_grades as merge_grades
from dhs.validation.evaluation.evaluate import evaluate as evaluate
from dhs.validation.preflight.preflight import preflight as preflight
from dhs.validation.real_lenses.real_lenses import real_lenses as real_lenses
from dhs.validation.realism.probe import realism as realism
from dhs.validation.signoff.model_card import model_card as model_card
from dhs.validation.signoff.signoff import signoff as signoff

__version__: str
