"""A section of the evaluation: does a bigger ring score higher?"""

from scipy.stats import spearmanr

from dhs.validation.evaluation.sections.base import Scored, section


@section("by_size")
def by_size(scored: Scored):
    """Rank correlation of Einstein radius and logit among the positives."""
    positive = scored.test.where(scored.test.kind("positive"))
    found = spearmanr(positive["theta_e_arcsec"], positive["logit"])
    return {"spearman": float(found.statistic), "p": float(found.pvalue), "n": len(positive)}
