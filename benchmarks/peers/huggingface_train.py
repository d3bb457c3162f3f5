"""A Hugging Face Trainer loop on prepared examples, padded to the longest of each batch.

    python -m peers.huggingface_train '{"model": DIR, "examples": FILE, ...}'

Runs in an environment of its own; prints one JSON line.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from typing import Any

import numpy as np
import torch
import transformers

IGNORED = -100


class Examples(torch.utils.data.Dataset):  # type: ignore[misc]
    """Token ids and labels of each example; the prompt is not learned."""

    def __init__(self, path: str, count: int) -> None:
        arrays = np.load(path)
        ends = np.cumsum(arrays["lengths"])[:count]
        self._ids = np.split(arrays["tokens"], ends)[:count]
        self._prompts = arrays["prompt_lengths"]

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        ids = self._ids[index].tolist()
        prompt = int(self._prompts[index])
        return {"input_ids": ids, "labels": [IGNORED] * prompt + ids[prompt:]}

    def learned(self, begin: int) -> int:
        """Number of completion tokens from an example on."""
        return sum(
            len(ids) - int(prompt)
            for ids, prompt in zip(self._ids[begin:], self._prompts[begin:], strict=False)
        )


class Clock(transformers.TrainerCallback):  # type: ignore[misc]
    """Notes when each step has ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.processor: list[float] = []
        self.losses: list[float] = []

    def on_step_end(self, *_args: Any, **_rest: Any) -> None:
        self.ends.append(time.perf_counter())
        self.processor.append(time.process_time())

    def on_log(self, *_args: Any, logs: dict[str, Any], **_rest: Any) -> None:
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))


class InOrder(transformers.Trainer):  # type: ignore[misc]
    """The examples in their order, as the others get them."""

    def _get_train_sampler(self, *_args: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def collate(pad: int) -> Any:
    """Pads ids and labels to the longest of the batch."""

    def padded(batch: list[dict[str, list[int]]]) -> dict[str, Any]:
        longest = max(len(example["input_ids"]) for example in batch)

        def stack(name: str, fill: int) -> Any:
            rows = [e[name] + [fill] * (longest - len(e[name])) for e in batch]
            return torch.tensor(rows)

        mask = [[1] * len(e["input_ids"]) + [0] * (longest - len(e["input_ids"])) for e in batch]
        return {
            "input_ids": stack("input_ids", pad),
            "labels": stack("labels", IGNORED),
            "attention_mask": torch.tensor(mask),
        }

    return padded


def main(job: dict[str, Any]) -> None:
    torch.set_num_threads(job["threads"])
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    count, warm = job["batch"] * job["steps"], job["warmup"]
    examples, clock = Examples(job["examples"], count), Clock()
    with tempfile.TemporaryDirectory() as directory:
        arguments = transformers.TrainingArguments(
            output_dir=directory,
            per_device_train_batch_size=job["batch"],
            max_steps=job["steps"],
            learning_rate=job["learning_rate"],
            lr_scheduler_type="constant",
            adam_beta2=job["beta2"],
            weight_decay=job["weight_decay"],
            max_grad_norm=job["clip_norm"],
            save_strategy="no",
            report_to=[],
            logging_steps=1,
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = InOrder(
            model=model,
            args=arguments,
            train_dataset=examples,
            data_collator=collate(job["pad"]),
            callbacks=[clock],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    seconds = clock.ends[-1] - clock.ends[warm - 1]
    result = {
        "completion_tokens_per_s": examples.learned(job["batch"] * warm) / seconds,
        "step_s": seconds / (job["steps"] - warm),
        "step_cpu_s": (clock.processor[-1] - clock.processor[warm - 1]) / (job["steps"] - warm),
        "first_loss": clock.losses[0],
        "last_loss": clock.losses[-1],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
