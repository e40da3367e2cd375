"""Configuration: frozen pydantic models, one YAML profile is one run.

Unknown keys are refused with a "did you mean"; a profile serialises to the YAML it was read from.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError, model_validator

from dhs.errors import UsageError


class Section(BaseModel):
    """Base of every configuration section: frozen, and unknown keys are refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _unknown_keys(cls, data):
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    close = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {sorted(cls.model_fields)}"
                    raise ValueError(f"unknown key {key!r} in {cls.__name__}: {hint}")
                if data[key] == "":
                    raise ValueError(f"{key} is empty")
        return data


class HostsConfig(Section):
    """Host galaxies: where they come from and which are refused."""

    spec: str = Field(
        "mock",
        description="mock; auto (real galaxies under DHS_DATA_DIR, else mock); a folder of cutouts or with a cube of "
        "them, one cutout file, a folder that holds coadd/",
    )
    catalogue: str | None = Field(
        None, description="targets in coadds: a Tractor or sweep catalogue, a folder of them, a table; None: tractor/"
    )
    select: Literal["lrg", "none"] = Field("lrg", description="cuts on that catalogue: DESI's LRGs, or none")
    n_mock: int = Field(1500, ge=1, description="number of mock hosts when spec is mock")
    known_lenses: str | None = Field(
        "auto", description="auto (lenscat, if found), lenscat, a CSV with RA and Dec; None: no cross-match"
    )
    match_radius_arcsec: float = Field(11.0, gt=0)
    allow_known_lenses: bool = False


class SourcesConfig(Section):
    """Source galaxies and their cuts."""

    spec: str = Field("auto", description="auto, xdf, mock (tests), or a GalSim RealGalaxyCatalog file")
    z_min: float = Field(0.6, ge=0, description="photo-z cut that drops foregrounds")
    mag_max: float = Field(24.8, description="catalogue magnitude cut (F814W or detection band)")
    min_snr: float = Field(15.0, ge=0, description="total S/N of the source stamp; fainter ones are mostly noise")
    denoise: bool = True
    max_n: int = Field(2000, ge=1, description="a catalogue with more after its cuts is sampled, keyed by the seed")
    morphology: Literal["image", "sersic"] = Field(
        "image", description="sersic: each galaxy as an exponential disc of its size, shape and flux, for comparison"
    )


class InjectionConfig(Section):
    """Paired injection: lens and source priors, rendering, acceptance."""

    n_pairs: int = Field(3000, ge=1, description="accepted pairs over all splits")
    prior: Literal["joint", "response_grid", "population"] = Field(
        "joint",
        description="joint: theta_E from the host's luminosity and the redshifts, shaped for coverage, source "
        "magnitudes within counts; response_grid: uniform theta_E, SNR log-uniform, whatever the host; population: as "
        "joint, by cross-section, catalogue flux kept",
    )
    renderer: Literal["fast", "lenstronomy"] = "fast"
    theta_e_arcsec: tuple[float, float] = (0.5, 3.0)
    arc_snr_maxpix: tuple[float, float] = Field((3.0, 50.0), description="r-band maximum per-pixel SNR")
    sigma_power: float = Field(8.0, ge=0, description="joint: lenses count as sigma_v to it; 4 is the cross-section")
    counts_slope: float = Field(0.35, gt=0, lt=0.8, description="d log10 N / dm of faint sources: magnification bias")
    source_mag_r: tuple[float, float] = Field((22.5, 27.0), description="joint: r of the unlensed source")
    snr_slope: float = Field(0.5, ge=0, description="joint: arcs count as SNR to minus it; 2.5 counts_slope is nature")
    beta_max: float = Field(1.0, gt=0, description="source offset over theta_E")
    min_magnification: float = Field(2.0, ge=1)
    min_images: int = Field(2, ge=1)
    shear_sigma: float = Field(0.03, ge=0, description="standard deviation of each shear component")
    ellipticity_scatter: float = Field(0.1, ge=0, description="scatter of the lens (e1, e2) about the host light's")
    slope_mean: float = Field(2.0, gt=1.5, lt=2.5, description="density slope of the lens; 2 is isothermal")
    slope_scatter: float = Field(0.0, ge=0)
    supersampling: int = Field(4, ge=1)
    max_attempts: int = Field(100, ge=1)
    pairs_per_part: int = Field(128, ge=1)
    hard_negative_fraction: float = Field(0.6, ge=0, le=1, description="pairs for which a hard negative is tried")
    hard_negative_kinds: dict[str, NonNegativeFloat] = Field(
        {"azimuthal_shuffle": 0.4, "companions": 0.2, "lookalike": 0.2, "scrambled_geometry": 0.2},
        min_length=1,
        description="relative weights of registered kinds",
    )


class SplitsConfig(Section):
    """Splits by hash of the HEALPix cell of the brick centre; sources by rank of their hash."""

    train: float = 0.70
    val: float = 0.15
    test: float = 0.15
    nside: int = 32

    @model_validator(mode="after")
    def _sum(self):
        if abs(self.train + self.val + self.test - 1) > 1e-9:
            raise ValueError("train + val + test must be 1")
        return self


class PreflightConfig(Section):
    """Pre-registered thresholds of the gates."""

    core_radius_px: float = 5.0
    equivalence_margin: float = Field(0.05, description="AUC margin of the equivalence tests on leakage")
    theta_e_edges: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    n_null: int = Field(200, description="label-swap draws of the leakage null")
    n_bootstrap: int = 300
    n_folds: int = 5
    alpha: float = Field(0.05, gt=0, lt=1, description="family-wise, over all strata of all gates (Holm)")
    max_rows: int = Field(1500, description="pairs per split measured by the image-based gates; all are checked")
    sample_n: int = 20
    guard_arcsec: float = Field(24.0, description="between galaxies of two splits: the diagonal of a stamp")
    mask_fraction: float = Field(0.05, description="pixels without inverse variance, mean over stamps")
    texture_margin: float = Field(0.10, description="AUC about 0.5, noise texture of hard negatives")
    snr_margin: float = Field(0.10, description="median SNR of hard negatives over their positive's, about 1")
    ring_fraction: float = Field(0.05, description="shuffled or scrambled arcs that are rings")
    condition_margin: float = Field(0.10, description="AUC about 0.5, observing conditions of two classes")
    n_survey: int = Field(150, ge=0, description="survey negatives whose conditions are compared")
    core_fraction_margin: float = Field(0.05, description="mean core fraction, stored against re-rendered")
    sample_tolerance: float = Field(0.01, description="core fraction and flux of one arc, re-rendered exactly")
    mismatch_allowed: float = Field(0.01, description="arcs that may miss the tolerance")
    closure: float = Field(0.01, description="flux, image plane over source times magnification")
    centroid_px: float = Field(0.1, description="centroid of the arc against the lensed light before the PSF")
    detectable_fraction: float = Field(0.5, description="arcs within the range of lenses found from the ground")
    thresholds: dict[str, float] = Field({}, description="of gates that bring their own, as gate.threshold")


class TrainConfig(Section):
    """Training: the seed's plan is the default where its review kept it; what it corrected is an option beside it."""

    arch: str = Field(
        "resnet18",
        description="a registered network: resnet18, deeplens, small, efficientnet_lite0 (extra pretrained), ...",
    )
    channels: Literal["raw", "raw+residual"] = "raw"
    residual: Literal["azimuthal", "elliptical"] = Field(
        "azimuthal", description="median of round rings, or of elliptical isophotes fitted to the stamp"
    )
    pretrained: Literal["auto", "never"] | str = Field(
        "auto", description="auto: torchvision weights if they are in the local torch cache; never; or a .pth file"
    )
    conv1: Literal["keep", "replace"] = Field("keep", description="replace: a new first layer, as the seed's plan")
    freeze_batchnorm: bool = False
    epochs: int = Field(50, ge=1)
    batch_size: int = Field(128, ge=2, description="stamps a step over all processes")
    lanes: int = Field(
        2, ge=1, le=16, description="parts of a batch that go through the network side by side, on a processor"
    )
    lr: float = Field(1e-4, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup_epochs: float = Field(0.0, ge=0)
    hard_negative_ratio: float = Field(0.3, ge=0, le=1, description="fraction of negatives that are hard")
    survey_negative_ratio: float = Field(
        0.0,
        ge=0,
        le=1,
        description="fraction of negatives that are survey-like galaxies, of seeds no rate is measured on",
    )
    n_survey_negatives: int = Field(4000, ge=0, description="mock ones to draw from, each met before one is met again")
    n_survey_validation: int = Field(600, ge=0, description="mock ones that help to choose the epoch")
    nonlenses: str | None = Field(
        None,
        description="cutouts known not to be lenses: half of the survey-like negatives, one in five for validation",
    )
    mine: str | None = Field(
        None, description="a checkpoint: half of the survey-like negatives are those it takes most for lenses"
    )
    mine_factor: int = Field(4, ge=2, description="galaxies it looks at for each that is used")
    negatives_per_positive: float = Field(1.0, ge=1, description="class ratio of an epoch")
    controls: Literal["paired", "unpaired"] = Field(
        "paired", description="unpaired: one half of the hosts gives positives, the other half negatives"
    )
    train_fraction: float = Field(1.0, gt=0, le=1, description="fraction of the training hosts that is used")
    fresh_arcs: bool = Field(
        False, description="inject other arcs into the training hosts every epoch, from the manifest"
    )
    core_dropout_prob: float = Field(0.3, ge=0, le=1)
    core_dropout_radius_px: float = Field(5.0, ge=0)
    core_dropout: Literal["fixed", "scaled"] = Field(
        "fixed", description="scaled: radius theta_E - FWHM / 2 (r band), at most core_dropout_radius_px"
    )
    core_fill: Literal["sky", "noise", "control"] = Field("sky", description="what a dropped core is filled with")
    annulus_px: tuple[float, float] = (26.0, 32.0)
    sigma_floor: float = Field(
        0.5, ge=0, description="floor of the annulus's sigma, in sky sigmas of the row (from inverse variance)"
    )
    stretch: Literal["asinh", "clip"] = "asinh"
    asinh_softening: float = Field(3.0, gt=0, description="in units of the sky sigma")
    augment: bool = True
    rotation: Literal["quarter", "any"] = Field(
        "quarter", description="any: RandomRotation(90), nearest neighbour and empty corners, as the seed's plan"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of each label that is spread over both classes")
    weight_average: float = Field(
        0.0, ge=0, lt=1, description="decay a step of the averaged weights, which are scored; 0: the last step's"
    )
    symmetry: Literal[1, 4, 8] = Field(
        1, description="orientations a stamp is scored in, their logits averaged: quarter turns, and mirrored ones"
    )
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = Field(False, description="torch.compile the network")
    deterministic: bool = Field(False, description="refuse operations that do not repeat to the bit")
    memory_gb: float = Field(2.0, ge=0, description="decoded stamps up to which splits are held in memory")
    core_masked_every: int = Field(10, ge=0, description="epochs between core-masked and core-swap monitors")
    monitor: Literal["auroc_val", "loss_val", "auroc_finder"] = Field(
        "auroc_val",
        description="chooses the best epoch; auroc_finder: mean AUROC against survey-like negatives and look-alikes",
    )
    patience: int | None = Field(None, ge=1, description="epochs without a better monitor before the run ends")
    grad_norm_limit: float = Field(1e4, gt=0, description="a larger gradient norm stops the run")
    stall_seconds: float = Field(600.0, gt=0, description="a loader silent for so long stops the run")
    checkpoint_steps: int = Field(500, ge=1, description="steps between checkpoints within an epoch")
    wandb_project: str | None = None
    wandb_run: str | None = None
    wandb_mode: Literal["online", "offline", "disabled"] | None = Field(None, description="None: WANDB_MODE decides")

    @model_validator(mode="after")
    def _negatives(self):
        if self.hard_negative_ratio + self.survey_negative_ratio > 1:
            raise ValueError("hard_negative_ratio + survey_negative_ratio must not exceed 1: they share the negatives")
        if self.survey_negative_ratio and not (self.n_survey_negatives or self.nonlenses):
            raise ValueError("survey_negative_ratio asks for negatives: give n_survey_negatives or nonlenses")
        if not self.survey_negative_ratio and (self.nonlenses or self.mine):
            raise ValueError("nonlenses and mine are for survey_negative_ratio, which is 0")
        return self


class EvaluateConfig(Section):
    """Evaluation: strata, negatives and intervals, frozen before the test split is read."""

    theta_e_edges: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    snr_edges: tuple[float, ...] = (3.0, 15.0, 30.0, 60.0, 120.0, 1000.0)
    snr_maxpix_edges: tuple[float, ...] = (3.0, 6.0, 12.0, 25.0, 50.0)
    n_psf_bins: int = Field(3, ge=1, description="bins of equal numbers in PSF, depth and host magnitude")
    n_survey_negatives: int = Field(10_000, ge=0)
    survey_negatives: str | None = Field(
        None,
        description="real galaxies without a lens; None: mock ones, under the hosts' sky where those are real",
    )
    min_expected_fp: int = 10
    n_bootstrap: int = 500
    core_radius_px: float = 5.0
    n_interventions: int = Field(200, ge=0, description="test pairs scored under every intervention")
    sweep_radii_px: tuple[float, ...] = (2.0, 3.5, 5.0, 7.0, 9.0)
    prevalence: float = Field(1e-4, gt=0, lt=1, description="lenses among the galaxies that would be scored")
    n_calibration_negatives: int = Field(1000, ge=0, description="survey negatives of their own to calibrate on")


class Profile(Section):
    """One run: everything that decides its bytes."""

    name: str = "demo"
    seed: int = Field(20260, ge=0, lt=2**63)
    hosts: HostsConfig = HostsConfig()
    sources: SourcesConfig = SourcesConfig()
    injection: InjectionConfig = InjectionConfig()
    splits: SplitsConfig = SplitsConfig()
    preflight: PreflightConfig = PreflightConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def replace(self, **changes) -> Profile:
        """A copy with changes given as ``section__key=value`` or ``key=value``; unknown names are refused.

        Values of None mean "not given" and are left out, so command-line options pass straight through.
        """
        data = self.model_dump(mode="json")
        for name, value in changes.items():
            if value is None:
                continue
            section, _, key = name.rpartition("__")
            if section and section not in data:
                raise UsageError(f"unknown section {section!r} in {name!r}. Known: {sorted(data)}")
            (data[section] if section else data)[key] = value
        return parse_profile(data, f"profile {self.name!r} with changes")


def parse_profile(data: dict, where: str) -> Profile:
    """Validate a mapping; every problem becomes one UsageError that names the place."""
    try:
        return Profile.model_validate(data)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'top level'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        known = problems.endswith(("?", "]"))
        raise UsageError(f"{where}: {problems}" + ("" if known else ". Mend it, or leave it out.")) from None


def load_profile(profile: str | Path | Profile = "demo", **changes) -> Profile:
    """Read a profile by name (``smoke``, ``demo``, ``paper``), from a YAML file, or pass one through.

    Parameters
    ----------
    profile : str, Path or Profile
    **changes
        Overrides as ``section__key=value``; None is ignored.

    Raises
    ------
    UsageError
        Unknown profile, unreadable YAML, unknown key or value out of range.
    """
    if not isinstance(profile, Profile):
        builtin = resources.files("dhs") / "profiles" / f"{profile}.yaml"
        path = builtin if builtin.is_file() else Path(profile)
        if not path.is_file():
            names = sorted(p.name.removesuffix(".yaml") for p in (resources.files("dhs") / "profiles").iterdir())
            raise UsageError(f"no profile {str(profile)!r}: choose one of {names}, or give a YAML file")
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}: not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
        except yaml.YAMLError as error:
            raise UsageError(f"{path}: not YAML: {error}. Mend the file.") from None
        except RecursionError:
            raise UsageError(f"{path}: nested too deeply. A profile is a mapping of sections.") from None
        if not isinstance(data, dict):
            raise UsageError(f"{path}: no profile. Give a mapping of sections, as `profiles/demo.yaml` of the package.")
        profile = parse_profile(data, str(profile))
    return profile.replace(**changes)


def digest(value) -> str:
    """SHA-256 of a model, mapping or string, the same on every machine."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
