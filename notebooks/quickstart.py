# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart
#
# From nothing to a small model that shows its work: about a minute on a laptop, without an
# accelerator and without the internet. What `tunix-rt` does on the command line is done here from
# Python.
#
# ```
# pip install "tunix-core[plot]" tunix-generators tunix-jax tunix-compare
# ```
#
# All cells can be run again. What is stored is not stored twice, and a run that was interrupted
# goes on where it was.

# %% tags=["parameters"]
import os

WORKSPACE = os.environ.get("TUNIX_WORKSPACE", "quickstart-workspace")
FAMILIES = ["ordering_people", "string_reverse"]
ITEMS = {"train": 2000, "test": 100}
STEPS = 150
SEED = 42

# %% [markdown]
# ## A workspace
#
# A workspace is a directory. It holds a database, the datasets, the runs and the models.

# %%
from tunix_core import Workspace

ws = Workspace(WORKSPACE)
print(f"{ws.paths.root} holds {ws.traces.count()} traces")
ws

# %% [markdown]
# ## Traces
#
# A trace is a question with the steps to its answer. Here a generator makes them: every step is
# computed, so it can be computed again later, when a model has written it. Your own traces come
# from a file with `ws.traces.import_file("mine.jsonl")`.

# %%
settings = {"difficulty": 1, "families": FAMILIES}
ids: dict[str, list[str]] = {split: [] for split in ITEMS}
for split, count in ITEMS.items():
    traces = ws.traces.generate(
        "dev-reasoning-v1", split=split, count=count, seed=SEED, settings=settings
    )
    report = ws.traces.import_traces(traces, trace_ids=ids[split])
    print(f"{split}: {report.accepted} traces stored, {report.duplicates} were there before")
example = ws.traces.get(ids["train"][0]).trace
print(example.prompt, *[step.content for step in example.steps], example.final_answer, sep="\n")

# %% [markdown]
# ## Datasets
#
# A dataset is a selection of traces that never changes: it has a manifest with its hash. Building
# it again gives the one that is there. No question of the held-out dataset may be in the training
# data; that is checked here.

# %%
from tunix_core.rich.readable import shared_text

train_data, test_data = (
    ws.datasets.build(f"quickstart-{split}", f"{len(ids[split])}-seed{SEED}", trace_ids=ids[split])
    for split in ITEMS
)
shared = ws.datasets.contamination(train_data.dataset_key, test_data.dataset_key)
print(f"{train_data.dataset_key}: {train_data.trace_count} items, sha256 {train_data.sha256[:12]}")
print(f"{test_data.dataset_key}: in the training data, {shared_text(shared)}")
train_data

# %% [markdown]
# ## The untrained model
#
# Everything is compared with a model that has learned nothing: the same settings, no steps.
# `create_or_resume` names a run by what is asked for, and a worker executes it in a process of its
# own.

# %%
from tunix_core.cli.progress import TrainingProgress
from tunix_core.errors import TunixError
from tunix_core.records import Run


def train(steps: int) -> Run:
    """Train a model from scratch, its tokenizer included."""
    settings = {"model_id": "small", "rows": 8, "steps": steps}
    run = ws.runs.create_or_resume(train_data.dataset_key, "jax", settings, seed=SEED)
    with TrainingProgress(ws, run) as progress:
        run = ws.worker().execute(run.id, progress)
    if run.status != "completed":
        raise TunixError(f"run {run.id} ended as {run.status}: {run.error}")
    print(f"run {run.id[:8]}: {steps} steps in {run.seconds:.0f} s")
    return run


untrained = train(steps=0)

# %% [markdown]
# ## Training
#
# This takes most of the minute. The run draws its own loss, in nats per token.

# %%
trained = train(STEPS)
trained

# %% [markdown]
# ## Answers
#
# Both models answer the held-out questions, always with the most likely token. The untrained one
# writes white space or noise. Answers are kept, so that they can be judged as often as you like.

# %%
from tunix_core.protocols import GenerationConfig
from tunix_core.rich.readable import standing

for run in (untrained, trained):
    answers = ws.predictions.create(
        run.id, test_data.dataset_key, GenerationConfig(max_new_tokens=64)
    )
    print(f"run {run.id[:8]} wrote {answers.completions[0].text.strip()[:200]!r}")

# %% [markdown]
# ## Evaluations
#
# Two evaluators read the answers: is the answer right, and is the work shown in the form that was
# learned. Below, some answers stand with their steps, each marked: it was computed again. The
# verdict is "pass" only when every answer is right.

# %%
judges = ("answer_correctness", "show_your_work")
before, after = (
    ws.evaluations.run(run.id, test_data.dataset_key, judges) for run in (untrained, trained)
)
for was, now in zip(before, after, strict=True):
    print(f"{now.evaluator}: {standing(was.scorecard)} before, {standing(now.scorecard)} after")
constant = after[0].scorecard.metrics["constant_answer_baseline"]
print(f"always the most frequent answer: {constant:.3f}")
after[0]

# %%
from tunix_core.rich.plots import metric_curves, plot_outcome

(points,) = metric_curves(ws.runs, [trained.id], "loss").values()
picture = plot_outcome(points, before, after, ws.paths.root / "outcome.png")
print(f"written to {picture.path}")
picture

# %% [markdown]
# ## Regression check
#
# Is the trained model worse than the untrained one, beyond chance? The two are compared item by
# item. In a pipeline, the baseline is the model that you ship.

# %%
ws.regressions.set_baseline("untrained", untrained.id, "answer_correctness")
baseline, verdict = ws.regressions.check(trained.id, "untrained")
print(f"regressed: {verdict.regressed}; {verdict.reason}")

# %% [markdown]
# ## The registry and the files
#
# A promoted model is a version that never changes, with its scores and where it came from. All but
# the database is plain files, and the model is in the layout of Hugging Face.

# %%
version = ws.models.promote("quickstart", trained.id)
print(f"{version.artifact}@{version.version}, {version.size_bytes:,} bytes, {version.sha256[:12]}")
for artifact in ws.runs.artifacts(trained.id):
    if artifact.path.startswith(("model/", "predictions/", "metrics")):
        print(f"{artifact.size:>12,}  runs/{trained.id[:8]}.../{artifact.path}")
ws

# %% [markdown]
# ## Where to go next
#
# - A real model: [kaggle_submission.ipynb](kaggle_submission.ipynb) fine-tunes Gemma on a TPU.
# - The same on the command line: [docs/cli.md](../docs/cli.md), or `tunix-rt --help`.
# - In the browser: `pip install tunix-http`, then
#   `tunix-rt --workspace quickstart-workspace serve --open`.
# - What goes wrong easily, and what to do about it: [docs/footguns.md](../docs/footguns.md).
# - A plugin of your own: "Write a plugin" in [README.md](../README.md).
