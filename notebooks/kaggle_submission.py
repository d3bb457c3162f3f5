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
# # Train Gemma to show its work
#
# One Kaggle session takes Gemma 2 2B or Gemma 3 1B and teaches it to answer like this:
#
# ```text
# <reasoning>the steps, one on each line</reasoning>
# <answer>the answer</answer>
# ```
#
# **Before you run it**, in the panel on the right:
#
# 1. *Accelerator*: TPU VM v5e-8. *Internet*: off.
# 2. *Add Input*, models: `google/gemma-2/transformers/gemma-2-2b-it`, or
#    `google/gemma-3/transformers/gemma-3-1b-it`.
# 3. *Add Input*, datasets: the folder that `make wheelhouse` builds in a clone of tunix-rt. It
#    holds tunix-rt and what it needs, but no jax, jaxlib or libtpu: those of the image stay.
# 4. If an earlier session was cut off: *Add Input*, its notebook output. This one goes on from it.
#
# Everything else that a fresh session needs is in the cells below. Run all of them in order. They
# may be run again at any time: what is done is kept, what was interrupted is carried on.
#
# The hackathon's judged mode demanded that the model is loaded and trained with google-tunix's own
# APIs. This notebook trains with tunix-rt's JAX trainer. Where a plugin brings google-tunix as a
# trainer, put its wheel into the folder of wheels, add its name to `INSTALL`, name the trainer in
# `TRAINER` and give its settings in `RECIPES` (`tunix-rt plugins show NAME` lists them): data,
# evaluation, plots and manifest stay as they are.

# %% [markdown]
# ## Parameters
#
# All of them. `MODE = "smoke"` runs the very same cells on a CPU in two minutes, with a small model
# of either name.

# %% tags=["parameters"]
import os
from typing import Any

MODE = os.environ.get("TUNIX_MODE", "full")
MODEL = os.environ.get("TUNIX_MODEL", "gemma-2-2b")  # or gemma-3-1b
TRAINER = "jax"
INSTALL = ["tunix-core[plot]", "tunix-generators", "tunix-jax", "tunix-compare"]
TIME_BUDGET = os.environ.get("TUNIX_TIME_BUDGET", "8h30m")
INPUT = os.environ.get("TUNIX_INPUT", "/kaggle/input")
WORKING = os.environ.get("TUNIX_WORKING", "/kaggle/working")
# Train on where the time budget of an earlier session ended?
CONTINUE = os.environ.get("TUNIX_CONTINUE") == "1"
SEED = 42
STEPS = int(os.environ.get("TUNIX_STEPS", 0)) or None  # None: as many as the epochs take

RECIPES: dict[str, dict[str, Any]] = {
    "full": {
        "platform": "tpu,cpu",
        "train_items": 300_000,
        "held_out_items": 500,
        "max_new_tokens": 512,
        "trainer": {
            "epochs": 2,
            "lora_rank": 64,
            "learning_rate": 2e-4,
            "warmup_steps": 50,
            "rows": 32,
            "max_length": 2048,
            "checkpoint_every": 200,
            "keep_checkpoints": 1,
            "eval_every": 200,
        },
    },
    "smoke": {
        "platform": "cpu",
        "train_items": 300,
        "held_out_items": 12,
        "max_new_tokens": 48,
        "trainer": {
            "epochs": 1,
            "lora_rank": 4,
            "learning_rate": 1e-2,
            "warmup_steps": 2,
            "rows": 4,
            "max_length": 256,
            "checkpoint_every": 5,
            "keep_checkpoints": 1,
            "eval_every": 10,
            "dtype": "float32",
        },
    },
}

# %% [markdown]
# ## Install, without the internet
#
# From the attached folder of wheels. The jax, jaxlib and libtpu of this image are pinned as they
# are, since they belong to its TPU driver.

# %%
import importlib
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

recipe, inputs, working = RECIPES[MODE], Path(INPUT).resolve(), Path(WORKING).resolve()
working.mkdir(parents=True, exist_ok=True)
# The session has nine hours, however often its cells are run.
begun = working / "session-begun"
if not begun.exists():
    begun.touch()


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A command of this Python, in a process of its own."""
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)


if find_spec("tunix_core") is None:
    wheels = sorted(path.parent for path in inputs.rglob("tunix_core-*.whl"))
    if not wheels:
        raise RuntimeError(
            f"no wheels of tunix-rt below {inputs}: run `make wheelhouse` in a clone of tunix-rt, "
            "upload the folder as a dataset, and attach it with Add Input"
        )
    pins = working / "host-constraints.txt"
    pins.write_text("")
    for name in ("jax", "jaxlib", "libtpu"):
        try:
            pins.write_text(f"{pins.read_text()}{name}=={version(name)}\n")
        except PackageNotFoundError:
            print(f"this image has no {name}")
    source = ["--no-index", "--find-links", str(wheels[-1]), "--constraint", str(pins)]
    done = run("pip", "install", "--quiet", *source, *INSTALL)
    if done.returncode:
        raise RuntimeError(
            f"{done.stderr}\n{wheels[-1]} does not suit this image: build it with `make wheelhouse "
            f"WHEELHOUSE_PYTHON={sys.version_info.major}.{sys.version_info.minor}`. Without jax, "
            "choose the accelerator TPU VM v5e-8"
        )
    importlib.invalidate_caches()
# Flax follows JAX closely, and pip does not know which of them go together.
done = run("tunix_core.cli", "plugins", "check")
if done.returncode:
    raise RuntimeError(
        f"{done.stdout}\nthe wheels do not go with the jax of this image: build them with "
        f"`make wheelhouse WHEELHOUSE_JAX={version('jax')}`"
    )
print(f"{MODE}: {MODEL} from {inputs}, everything is written to {working}")

# %% [markdown]
# ## Workspace and model
#
# The workspace holds the data, the runs with their checkpoints, the answers and the scores. If the
# output of an earlier session is attached, its workspace is copied, and this session goes on from
# it: an interrupted run from its newest checkpoint, and with `CONTINUE` also one that its time
# budget ended.
#
# Nothing in this process touches the TPU: whoever holds it first keeps it, and that has to be the
# process that trains.

# %%
from tunix_core import Workspace
from tunix_core.errors import TunixError
from tunix_jax.models.location import locate

os.environ |= {"TUNIX_MODELS": str(inputs), "JAX_PLATFORMS": recipe["platform"]}
os.environ["HF_HUB_OFFLINE"] = "1"
model_directory = locate(MODEL)
earlier = sorted(inputs.rglob("workspace/tunix.db"), key=lambda path: path.stat().st_mtime)
if earlier:
    workspace = Workspace.copy(earlier[-1].parent, working / "workspace")
else:
    workspace = Workspace(working / "workspace")
print(f"model: {model_directory}")
workspace

# %% [markdown]
# ## Does it fit?
#
# The training step is compiled for the devices that are here, before anything is spent: where the
# bytes of a chip go, and how many tokens per second the chips cannot exceed. If it does not fit,
# this cell fails and says what to change.

# %%
settings = {**recipe["trainer"], "steps": STEPS}
if TRAINER == "jax":
    given = [f"--set={key}={value}" for key, value in settings.items() if value is not None]
    place = ["--workspace", str(workspace.paths.root)]
    done = run("tunix_core.cli", *place, "fit", "--model", str(model_directory), *given)
    print(done.stdout, done.stderr, sep="\n")
    if done.returncode:
        raise TunixError(
            "the lines above say what to change in the parameters",
            "where there is no tpu: choose the accelerator TPU VM v5e-8",
        )

# %% [markdown]
# ## Data
#
# *dev-reasoning-v1* is made by code: 24 families of questions from everyday life, arithmetic, logic
# and text (plan, compute, check), in three difficulties. Every step of every item was executed and
# can be executed again. Nothing is scraped, and no model wrote it. No held-out
# question is a training question; what they share beyond that, such as the same work with operands
# swapped, is counted below.
#
# To train on traces of your own as well (other domains need other data: stories, summaries,
# science), attach a dataset whose files end in `.traces.jsonl`, one trace on each line:
# `{"prompt": ..., "steps": [{"i": 0, "type": "compute", "content": ...}], "final_answer": ...}`.
#
# ## Prompt
#
# The prompt is the question and nothing else, in the chat turns of the model's own template. The
# form is learned, not asked for, so that none of the context is spent on instructions. The loss
# counts on the completion alone.

# %%
from hashlib import sha256

from tunix_core.rich.readable import shared_text
from tunix_core.traces.importing import ImportReport


def say(what: str, report: ImportReport) -> None:
    """Say what became of traces."""
    print(f"{what}: {report.accepted} new, {report.duplicates} known, {report.rejected} refused")


ids: dict[str, list[str]] = {"train": [], "test": []}
for split, count in (("train", recipe["train_items"]), ("test", recipe["held_out_items"])):
    traces = workspace.traces.generate("dev-reasoning-v1", split=split, count=count, seed=SEED)
    say(split, workspace.traces.import_traces(traces, trace_ids=ids[split]))
for path in sorted(inputs.rglob("*.traces.jsonl")):
    say(path.name, workspace.traces.import_file(path, trace_ids=ids["train"]))
keys = {}
for split, stored in ids.items():
    chosen = list(dict.fromkeys(stored))
    # Other data gets another name: a dataset never changes.
    data = f"{MODE}-seed{SEED}-{sha256(''.join(chosen).encode()).hexdigest()[:8]}"
    keys[split] = workspace.datasets.build(split, data, trace_ids=chosen).dataset_key
train_key, held_out_key = keys["train"], keys["test"]
shared = workspace.datasets.contamination(train_key, held_out_key)
print("in the training data,", shared_text(shared))
if asked := shared.items("exact"):
    raise TunixError(f"{len(asked)} held-out questions are in your own traces", "take them out")
workspace.datasets.manifest(train_key)

# %% [markdown]
# ## Strategy and hyper-parameters
#
# Supervised fine-tuning, first and alone: it gives the form and the habit of checking each step.
# Preference tuning or reinforcement learning may follow from the model that is saved here.
#
# - **Weights**: LoRA of rank 64 on all projections, so that a checkpoint is small. With all weights
#   (`lora_rank: 0`) AdamW's checkpoint is 12 bytes a weight: 31 GB for Gemma 2 2B, and the working
#   folder holds 20. The trainer refuses a run that the disk cannot hold.
# - **Numbers**: bfloat16; adapters and moments in float32, since bfloat16 loses small updates.
# - **Rows**: 32 of 2,048 tokens a step, filled with as many examples as there is room for. Examples
#   in a row do not see each other.
# - **Devices**: all eight chips, the weights cut over them (FSDP).
# - **Learning rate**: 2e-4, cosine, 50 steps of warm-up.
# - **Passes**: two over 300,000 items, or what the time budget allows.
# - **Time**: 8h30m of the nine hours of a session, counted from its first cell. Then the newest
#   weights are saved.
#
# A checkpoint is written every 200 steps. Killed at any moment, this cell goes on from the newest
# one when it is run again, and ends with the same weights as if it had not been killed.

# %%
from tunix_core.base.durations import seconds
from tunix_core.cli.progress import TrainingProgress
from tunix_core.records import Run


def train(steps: int | None) -> Run:
    """Train, or go on with what an earlier attempt left."""
    spent = time.time() - begun.stat().st_mtime
    training = workspace.runs.create_or_resume(
        train_key,
        TRAINER,
        {"model_id": MODEL, **recipe["trainer"], "steps": steps},
        seed=SEED,
        eval_dataset_key=held_out_key,
        time_budget_s=max(seconds(TIME_BUDGET) - spent, 60.0),
    )
    if CONTINUE and training.result and training.result.stop_reason == "time_budget":
        training = workspace.runs.resume(training.id)
    with TrainingProgress(workspace, training) as progress:
        training = workspace.worker().execute(training.id, progress)
    if training.status != "completed":
        raise TunixError(f"training ended as {training.status}: {training.error}")
    return training


trained = train(STEPS)
outcome = trained.result
if outcome is not None:
    print(f"{outcome.steps} steps, {outcome.tokens} tokens, ended by {outcome.stop_reason}")
trained

# %% [markdown]
# ## Save
#
# Before anything else happens: the model in Hugging Face's layout, the adapter beside it, and the
# manifest. Files are linked, not copied, since the disk is small. The last checkpoint stays in the
# workspace, from where training can go on.

# %%
from tunix_core.submission import write_submission

submission = working / "submission"
facts = {"mode": MODE, "model": MODEL, "contamination": shared.counts}
write_submission(workspace, trained.id, submission, facts=facts)
print(*sorted(str(path.relative_to(working)) for path in submission.rglob("*")), sep="\n")

# %% [markdown]
# ## Evaluate
#
# The trained model answers held-out questions that it has never seen. Answers are compared by type
# (a number as a number, a date as a date), never as a part of the text. What its steps show is
# checked too; what could not be read is counted as unread, neither right nor wrong.

# %%
from tunix_core.protocols import GenerationConfig
from tunix_core.records import Evaluation
from tunix_core.rich.readable import estimate_text, standing

generation = GenerationConfig(max_new_tokens=recipe["max_new_tokens"])


def evaluate(model: Run) -> list[Evaluation]:
    """Answer and judge; what was answered before is kept."""
    workspace.predictions.create(model.id, held_out_key, generation)
    return workspace.evaluations.run(model.id, held_out_key)


def say_scores(evaluations: list[Evaluation]) -> None:
    """Print the score of each evaluator."""
    print(*(f"{held.evaluator}: {standing(held.scorecard)}" for held in evaluations), sep="\n")


after = evaluate(trained)
say_scores(after)
apart = workspace.evaluations.estimate_without(after[0], shared.items("same_work"))
print("without the questions whose work was trained on:", estimate_text(apart))
after[0]

# %% [markdown]
# ## Compare with the model as it came
#
# The same questions to the untrained model. The difference is tested item by item.

# %%
from tunix_core.rich.plots import plot_outcome

untrained = train(steps=0)
before = evaluate(untrained)
say_scores(before)
judged = {"before": before, "after": after}
write_submission(workspace, trained.id, submission, facts=facts, evaluations=judged)
losses = [(line["step"], line["loss"]) for line in workspace.runs.metrics(trained.id)]
plot_outcome(losses, before, after, submission / "outcome.png")

# %%
workspace.regressions.set_baseline("untrained", untrained.id, "answer_correctness")
_, verdict = workspace.regressions.check(trained.id, "untrained")
print(verdict.reason)

# %% [markdown]
# ## What you have
#
# | File in the output | What |
# |---|---|
# | `submission/model/` | The model, for `transformers` and every tool that reads its layout |
# | `submission/adapter/` | The adapter alone, for `peft` |
# | `submission/submission_manifest.json` | Data by hash, settings, versions, scores, hardware |
# | `submission/outcome.png` | Loss and scores |
# | `workspace/` | Everything else: attach it to the next session, and that one goes on from here |
#
# `tunix-rt --workspace workspace serve` shows the same workspace as a web page.

# %%
workspace.close()
print(f"submission: {submission}")
