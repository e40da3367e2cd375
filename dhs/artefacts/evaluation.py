"""``evaluation.json``: the sections of an evaluation, and the keys of each that others rely on.

Metrics have 95 % intervals by host and source. A section that could not be measured is a `Skip` with its reason.
Sections that others register are kept as they are.
"""

from __future__ import annotations

from pydantic import Field

from dhs.artefacts.parts import Bin, Metric, Part, Section, Skip, metric_text
from dhs.artefacts.realism import RealismSection
from dhs.artefacts.report import Report


class OperatingPoint(Part):
    """A threshold on the logit that lets a share of the survey negatives pass.

    Attributes
    ----------
    fpr : float
        That share.
    tpr : Metric
        Share of positives above it.
    threshold : Metric
        On the logit.
    """

    fpr: float
    tpr: Metric
    threshold: Metric


class Stratum(Bin):
    """AUROC against controls of the pairs in a bin; ``recall`` above the common threshold."""

    recall: Metric


class BrightWide(Part):
    """Arcs of high SNR and wide separation."""

    auroc: Metric


class CoreMasked(Part):
    """The core hidden from the network: ``auroc``, and ``delta``, the change against the whole stamp."""

    auroc: Metric
    delta: Metric


class CoreSwap(CoreMasked):
    """The arc's core pixels taken from the control: ``auroc``; ``delta``, the change of the logit net of an edge."""


class Intervention(Metric):
    """Mean change of the logit under a change of the stamp; ``fell`` is the share of pairs whose score fell."""

    name: str
    fell: Metric
    by_theta_e: tuple[Bin, ...]


class SweepPoint(Metric):
    """Change of the logit where the arc's light at r < ``radius_px`` is taken out."""

    radius_px: float


class Interventions(Part):
    """Changes of the positives, ``interventions``; the radius of the core changed, ``sweep``.

    ``shares`` are parts of the whole arc's effect by name; ``core_light`` is the share of the arc's light in the core.
    """

    interventions: tuple[Intervention, ...]
    sweep: tuple[SweepPoint, ...]
    shares: dict[str, Metric] = Field({})
    core_light: Metric | None = None


class PartialAuc(Metric):
    """Area under the ROC curve up to ``max_fpr``, over that rate."""

    max_fpr: float


class Top(Part):
    """The top of the ranking against survey negatives."""

    partial_auc: tuple[PartialAuc, ...]
    tpr0: Metric
    tpr10: Metric
    f1: Metric | None = None
    f1_at_prevalence: Metric | None = None


class ReliabilityBin(Part):
    """Stamps of similar probability: the mean ``predicted``, the share of positives ``observed``, its interval."""

    predicted: float
    observed: float
    ci_low: float
    ci_high: float
    n: int


class Quality(Part):
    brier: Metric


class Qualities(Part):
    """Scores of the probabilities as they come, ``before``, and after each way of calibration."""

    before: Quality
    temperature: Quality
    isotonic: Quality


class SurveyCalibration(Part):
    """Probabilities against survey negatives, shifted to the prevalence; ``promised_lenses`` over those there are."""

    promised_lenses: float | None = None


class Calibration(Part):
    """Reliability of positives against controls; expected calibration errors (ece) before and after."""

    temperature: float
    ece_before: float
    ece_after: float
    ece_isotonic: float
    bins: tuple[ReliabilityBin, ...]
    bins_calibrated: tuple[ReliabilityBin, ...]
    bins_isotonic: tuple[ReliabilityBin, ...]
    quality: Qualities
    survey: Section[SurveyCalibration]


class Cell(Metric):
    """Completeness in a cell of theta_E (arcsec) and matched SNR."""

    theta_e_lo: float
    theta_e_hi: float
    snr_lo: float
    snr_hi: float


class SmoothMap(Part):
    """Logistic completeness in ``completeness.parquet``; log losses on unseen hosts, and those of the mean."""

    log_loss: float
    log_loss_of_mean: float


class Completeness(Part):
    """Share of the injected arcs above one threshold."""

    fpr: float
    threshold: float
    overall: Metric
    overall_population: Metric
    cells: tuple[Cell, ...]
    smooth: Section[SmoothMap]


class PurityPoint(Part):
    """Purity and completeness at a threshold."""

    completeness: float
    purity: float
    ci_low: float | None
    ci_high: float | None


class Purity(Part):
    """Share of lenses among what is above a threshold, at a ``prevalence``."""

    prevalence: float
    purity: Metric
    curve: tuple[PurityPoint, ...]


class Population(Part):
    """The positives weighted to the lens population; ``n_effective`` of them count."""

    n_effective: float
    auroc_survey: Metric | None = None


class HardNegatives(Part):
    """AUROC of positives against hard negatives."""

    auroc: Metric


class Baseline(Part):
    """AUROC on the test split, and on ``val``."""

    auroc: Metric
    val: Metric


class MissCause(Part):
    """Positives below the threshold that share a property, and how often one is missed with and without it."""

    cause: str
    n: int
    fix: str
    missed_with: Metric
    missed_without: Metric
    examples: tuple[int, ...]


class Misses(Part):
    n_missed: int
    causes: tuple[MissCause, ...]
    unexplained: int
    unexplained_examples: tuple[int, ...] = ()


class AlarmCause(Part):
    """Negatives of one kind above the threshold: ``n`` of ``of``."""

    cause: str
    n: int
    of: int
    rate: Metric
    fix: str
    examples: tuple[dict, ...]


class Alarms(Part):
    causes: tuple[AlarmCause, ...]


class Group(Part):
    """Failures that lie together in the network's features."""

    n: int
    medians: dict[str, float]
    examples: tuple
    kinds: dict[str, int] = Field({})


class Groups(Part):
    groups: tuple[Group, ...]


class Failures(Part):
    """Positives below and negatives above one threshold: by cause, and by the network's features."""

    misses: Misses
    alarms: Alarms
    embedding: Section[Groups]
    alarm_embedding: Section[Groups]


class EvaluationContent(Part):
    """Sections of ``evaluation.json``; None where an evaluation has none such."""

    auroc: Metric | None = None
    auroc_survey: Metric | None = None
    concordance: Metric | None = None
    bright_wide: BrightWide | None = None
    strata: dict[str, tuple[Stratum, ...]] = Field({})
    tpr_at_fpr: tuple[OperatingPoint, ...] = ()
    core_masked: Section[CoreMasked] | None = None
    core_swap: Section[CoreSwap] | None = None
    interventions: Section[Interventions] | None = None
    top: Section[Top] | None = None
    calibration: Section[Calibration] | None = None
    completeness: Section[Completeness] | None = None
    purity: Section[Purity] | None = None
    population: Section[Population] | None = None
    hard_negatives: Section[HardNegatives] | None = None
    baselines: dict[str, Baseline] = Field({})
    failures: Section[Failures] | None = None
    realism: RealismSection | None = None
    plan: dict = Field({})
    survey_negatives: dict = Field({})


class Evaluation(Report):
    """What ``evaluation.json`` holds; ``evaluation["auroc"]`` is a section."""

    file = "evaluation.json"
    model = EvaluationContent

    def lines(self) -> list[tuple[str, str]]:
        """Name and value of the leading metrics."""
        data: EvaluationContent = self.content
        shown = [
            ("AUROC, positives against controls", data.auroc),
            ("AUROC, positives against survey negatives", data.auroc_survey),
            ("within-pair concordance", data.concordance),
            ("AUROC, bright and wide arcs", data.bright_wide and data.bright_wide.auroc),
            ("AUROC with the core masked", measured(data.core_masked, "auroc")),
            ("AUROC against hard negatives", measured(data.hard_negatives, "auroc")),
        ]
        shown += [(f"recall at FPR {point.fpr:.2g}", point.tpr) for point in data.tpr_at_fpr]
        told = [("survey negatives", str(data.survey_negatives.get("told", "mock")))]
        return [(name, metric_text(metric)) for name, metric in shown] + told


def measured(section, name: str):
    """A metric of a section; the skip itself, which says why, where the section is one; None where there is none."""
    return section if section is None or isinstance(section, Skip) else section.get(name)
