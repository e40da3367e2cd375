# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Real lenses
#
# A finder that was trained on injections is tested on lenses that nobody injected: ground-found and confirmed, because an
# eye's grade alone would reward a network for agreeing with eyes.
#
# {number}`real_lenses.none_scored` A list of suitable ones, and two commands to fetch and score them, stand below.
#
# {number}`real_lenses.n_real_lenses` stamps were scored (grade: {number}`real_lenses.real_grade`). At a false-positive
# rate of {number}`real_lenses.real_recall_fpr`, the smallest that the survey negatives support, the recall is
# {number}`real_lenses.real_recall`.

# %% tags=["parameters"]
run_dir: str = "runs/demo"  # folder of the run; missing steps before this one are made first
profile: str = "demo"  # smoke, demo, paper, or a YAML file
seed: int = 20260  # of the whole run

# %%
import dhs
import dhs.figures as figures
from dhs import storage
from dhs.artefacts.report import read
from dhs.book.parameters import refuse_unknown
from dhs.book.results import lens_list_counts
from dhs.book.stamps import of_cutouts

refuse_unknown(globals())
run = dhs.Run(run_dir, profile, seed)
result = run.real_lenses()
real = read(run.path / "real_lenses.json")
scores = storage.read_table(run.path / "scores.parquet").to_pandas()
real_scores = storage.read_table(run.path / "real_scores.parquet").to_pandas()

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Recall on the real stamps at each false-positive rate that the survey negatives support, with exact intervals. Open symbols: published values, each on other lenses and other negatives.", "name": "fig-real-recall"}, "image": {"alt": "Recall on real lenses against false-positive rate on a logarithmic axis, with published points of other works"}}
figures.real_recall(real)

# %% tags=["hide-input"] mystnb={"figure": {"caption": "Score of each real stamp; in brackets the fraction of survey negatives that score at least as high.", "name": "fig-real"}, "image": {"alt": "Horizontal bars with the network's score of each real lens stamp"}}
negatives = scores.loc[scores["kind"].str.startswith("survey_negative"), "logit"]
figures.real_lens_scores(real_scores, negatives)

# %% tags=["hide-input"]
ranked = real_scores.sort_values("logit", ascending=False)
titles = [
    f"{rank}: {row.kind.replace('_', ' ')}, {row.logit:z.1f}" for rank, row in enumerate(ranked.itertuples(), start=1)
]
figures.zoom_gallery(of_cutouts(real.get("cutouts"), ranked["host_id"]), titles, "real stamps")

# %% tags=["hide-input"]
figures.missed_lenses(real)

# %% [markdown]
# ## The list
#
# It is built by rules from published catalogues: galaxy scale, graded confident, found in ground-based imaging, every
# coordinate within 2" of a second catalogue (other than the table of the lens's own paper), duplicates merged, rows that
# cite cluster catalogues alone dropped. Lenses known from space are left out, since most of their arcs {cite:p}`Bolton2008`
# do not show from the ground. Coordinates typed by hand are not data.

# %% tags=["hide-input"]
figures.lens_list(lens_list_counts())

# %% [markdown]
# ## Score them
#
# ```bash
# dhs fetch lenses --out LENSES
# dhs fetch hosts --catalogue LENSES/real_lenses.csv --out CUTOUTS
# dhs real-lenses --cutouts CUTOUTS --catalogue LENSES/real_lenses.csv --checkpoint PT --out runs/demo
# ```
#
# A recall known within 0.03 takes some 680 lenses, by binomial arithmetic; with thirty it is known within a seventh.
