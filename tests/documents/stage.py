"""A directory in which the commands of a document find what they speak of."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from tunix_core import Workspace
from tunix_jax.testing import write_small_pretrained

TRAIN_ITEMS, HELD_OUT_ITEMS = 40, 6
MODELS = {"gemma-2-2b-it": "gemma2", "gemma-3-1b-it": "gemma3"}
TINY = {"model_id": "tiny", "steps": 2, "eval_every": 1, "vocab_size": 300}
# Commands that go on until they are stopped, with what they say once they work.
SERVICES = {r"tunix-rt serve\b": " serves http", r"tunix-rt worker\b": "worker "}
SERVER = "localhost:8000"
# The exit code of a check is its verdict; a few items allow no certain one.
CODES = {r"tunix-rt regress check\b": (0, 2)}


class Stage:
    """Runs commands in a directory of their own.

    Args:
        directory: An empty directory.
        limit_s: Seconds that a command may take.
    """

    def __init__(self, directory: Path, limit_s: float = 300.0) -> None:
        self.directory = directory
        self._limit_s = limit_s
        self.environment = self._environment()
        for name, count in (("mine", TRAIN_ITEMS), ("held-out", HELD_OUT_ITEMS)):
            write_traces(directory / f"{name}.jsonl", name, count)
        (directory / "token.txt").write_text("a-token-that-is-known-here-alone\n")
        texts = (directory / "mine.jsonl").read_text().splitlines()
        for name, kind in MODELS.items():
            write_small_pretrained(directory / "models" / name, kind, texts)
        self._in_workspace(self._build)

    def run(self, command: str) -> str:
        """Run a command of a document to its end, or until it works if it goes on for ever.

        Returns:
            What it printed.

        Raises:
            AssertionError: It failed.
        """
        for service, sign in SERVICES.items():
            if re.match(service, command):
                with self._service(command, sign) as said:
                    return said
        with self._server(command) as address:
            done = subprocess.run(
                ["sh", "-euc", self._with_names(command).replace(SERVER, address)],
                cwd=self.directory,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=self._limit_s,
                check=False,
            )
        said = done.stdout + done.stderr
        codes = next((held for start, held in CODES.items() if re.match(start, command)), (0,))
        assert done.returncode in codes, f"{command}\nexit code {done.returncode}\n{said}"
        return said

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "TUNIX_"))}
        site = self.directory / "site"
        return kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
            "PYTHONPATH": str(site),
            "TUNIX_MODELS": str(self.directory / "models"),
            "HF_HUB_OFFLINE": "1",
            "JAX_PLATFORMS": "cpu",
            # What `pip install .` installs stays here, and needs nothing from elsewhere.
            "PIP_TARGET": str(site),
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "BROWSER": "true",
        }

    @contextmanager
    def _server(self, command: str) -> Iterator[str]:
        """The address of a server, where the command speaks of one."""
        if SERVER not in command:
            yield SERVER
            return
        with self._service(
            "tunix-rt serve --port 0 --workers 0", SERVICES[r"tunix-rt serve\b"]
        ) as said:
            address = re.search(r"http://([\d.:]+)", said)
            assert address is not None, said
            yield address.group(1)

    @contextmanager
    def _service(self, command: str, sign: str) -> Iterator[str]:
        """Start a command that goes on until it is stopped, and stop it afterwards."""
        # Ports are given by the machine, since tests run side by side.
        line = re.sub(r" --port \d+", "", self._with_names(command))
        line = line.replace("tunix-rt serve", "tunix-rt serve --port 0")
        with subprocess.Popen(
            ["sh", "-euc", f"exec {line}"],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            said = ""
            for text in process.stdout:
                said += text
                if sign in text:
                    break
            try:
                assert sign in said, f"{command}\n{said}"
                yield said
            finally:
                process.send_signal(signal.SIGTERM)
                rest = process.communicate(timeout=60)[0]
        assert process.returncode == 0, f"{command}\n{said}{rest}"

    # What the documents call by made-up names.

    def _with_names(self, command: str) -> str:
        for name, make in self._names().items():
            if re.search(rf"\b{name}\b", command):
                command = re.sub(rf"\b{name}\b", make(), command)
        return command

    def _names(self) -> Mapping[str, Callable[[], str]]:
        return {
            "RUN": lambda: self._checked,
            "4f0c2a1b": lambda: self._trained,
            "5b1c88d0": lambda: self._unasked,
            "77fe65b2": lambda: self._waiting,
            "9d3e70c5": lambda: self._job,
            "b7a60d12": lambda: self._other_job,
            "EVALUATION": lambda: self._evaluation,
            "OTHER_TRACE": lambda: self._traces[1],
            "TRACE": lambda: self._traces[0],
        }

    def _in_workspace(self, work: Callable[[Workspace], str]) -> str:
        with Workspace(self.directory / "workspace") as workspace:
            return work(workspace)

    def _build(self, workspace: Workspace) -> str:
        for name in ("mine", "held-out"):
            workspace.traces.import_file(self.directory / f"{name}.jsonl")
            workspace.datasets.build(name, "v1", filters={"source": name})
        return ""

    @cached_property
    def _trained(self) -> str:
        """A run that was trained, judged, promoted and made a baseline."""

        def work(workspace: Workspace) -> str:
            run = workspace.runs.create("mine-v1", "jax", TINY, eval_dataset_key="held-out-v1")
            assert workspace.worker().execute(run.id).status == "completed"
            workspace.predictions.create(run.id, "held-out-v1")
            workspace.evaluations.run(run.id, "held-out-v1")
            workspace.models.promote("my-model", run.id)
            return run.id

        return self._in_workspace(work)

    @cached_property
    def _unasked(self) -> str:
        """A run that was trained, and has answered nothing."""

        def work(workspace: Workspace) -> str:
            run = workspace.runs.create("mine-v1", "jax", TINY, seed=2)
            return workspace.worker().execute(run.id).id

        return self._in_workspace(work)

    @cached_property
    def _checked(self) -> str:
        """A run that has ended, cheaply."""

        def work(workspace: Workspace) -> str:
            run = workspace.runs.create("mine-v1", "jax", TINY, mode="dry-run")
            return workspace.worker().execute(run.id).id

        return self._in_workspace(work)

    @cached_property
    def _waiting(self) -> str:
        return self._in_workspace(lambda w: w.runs.create("mine-v1", "jax", TINY, seed=1).id)

    @cached_property
    def _job(self) -> str:
        return self._in_workspace(self._create_job)

    @cached_property
    def _other_job(self) -> str:
        return self._in_workspace(lambda w: w.tuning.start(self._create_job(w)).id)

    def _create_job(self, workspace: Workspace) -> str:
        space = {"learning_rate": {"type": "uniform", "min": 0.01, "max": 0.02}}
        settings = {name: value for name, value in TINY.items() if name != "model_id"}
        return workspace.tuning.create(
            "rates",
            "mine-v1",
            "tiny",
            search_space=space,
            num_samples=1,
            eval_dataset_key="held-out-v1",
            settings=settings,
            metric_name="score",
        ).id

    @cached_property
    def _evaluation(self) -> str:
        trained = self._trained
        return self._in_workspace(
            lambda w: next(e.id for e in w.evaluations.leaderboard() if e.run_id == trained)
        )

    @cached_property
    def _traces(self) -> list[str]:
        listed = self._in_workspace(lambda w: " ".join(t.id for t in w.traces.list(2, 0).items))
        return listed.split()


def write_traces(path: Path, source: str, count: int) -> None:
    """Write traces of sums, others for every source."""
    with path.open("w", encoding="utf-8") as out:
        for number in range(count):
            right = number + 3
            trace = {
                "prompt": f"{source.capitalize()} {number}: what is {number} + 3?",
                "steps": [{"i": 0, "type": "compute", "content": f"{number} + 3 = {right}"}],
                "final_answer": str(right),
                "meta": {"source": source},
            }
            out.write(json.dumps(trace) + "\n")
