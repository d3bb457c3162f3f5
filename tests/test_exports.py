"""Exports: their exact bytes, of datasets and of any traces, without holding what they write."""

from __future__ import annotations

import json
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunix_core import Workspace
from tunix_core.errors import UsageError
from tunix_core.plugins import Plugins
from tunix_core.records import Step, Trace
from tunix_core.traces.exports import FORMATS

STORED = 700
CREATED = "CREATED"
ID = "ID"

GIVEN = Trace(
    'Wie "viel" ist 1/2 + ½?\n',
    "1 \\ 1.0",
    (Step(3, "decompose", "½ = 1/2"), Step(1, "compute", "tab\there, 😀")),
    {"z": [1, 2.5, None, True], "created_at": "never", "source": "gold", "a": {"k": "é"}},
    "2.0",
)
BARE = Trace("p", "a", (Step(0, "t", "c"),))

# The lines of GIVEN and BARE, with ID and CREATED in place of what every store has of its own.
GOLDEN = {
    "trace": (
        '{"id": "ID", "prompts": "Wie \\"viel\\" ist 1/2 + \\u00bd?\\n", "trace_steps": '
        '["\\u00bd = 1/2", "tab\\there, \\ud83d\\ude00"], "final_answer": "1 \\\\ 1.0", '
        '"metadata": {"created_at": "CREATED", "trace_version": "2.0", "a": {"k": "\\u00e9"}, '
        '"source": "gold", "z": [1, 2.5, null, true]}}\n',
        '{"id": "ID", "prompts": "p", "trace_steps": ["c"], "final_answer": "a", '
        '"metadata": {"created_at": "CREATED", "trace_version": "1.0"}}\n',
    ),
    "tunix_sft": (
        '{"id": "ID", "prompts": "<start_of_turn>user\\nWie \\"viel\\" ist 1/2 + \\u00bd?\\n'
        "<end_of_turn>\\n<start_of_turn>model\\nReasoning:\\n1. \\u00bd = 1/2\\n"
        '2. tab\\there, \\ud83d\\ude00\\nAnswer: 1 \\\\ 1.0<end_of_turn>", '
        '"final_answer": "1 \\\\ 1.0", "metadata": {"created_at": "CREATED", '
        '"trace_version": "2.0", "format": "tunix_sft", "a": {"k": "\\u00e9"}, '
        '"source": "gold", "z": [1, 2.5, null, true]}}\n',
        '{"id": "ID", "prompts": "<start_of_turn>user\\np<end_of_turn>\\n<start_of_turn>model\\n'
        'Reasoning:\\n1. c\\nAnswer: a<end_of_turn>", "final_answer": "a", "metadata": '
        '{"created_at": "CREATED", "trace_version": "1.0", "format": "tunix_sft"}}\n',
    ),
    "training_example": (
        '{"id": "EXAMPLE", "prompt": "Wie \\"viel\\" ist 1/2 + \\u00bd?\\n\\n\\nPlease show your '
        'reasoning steps before you give the answer.", "response": "Reasoning:\\n'
        '1. \\u00bd = 1/2\\n2. tab\\there, \\ud83d\\ude00\\nAnswer: 1 \\\\ 1.0", "metadata": '
        '{"source_trace_id": "ID", "created_at": "CREATED", "trace_version": "2.0", '
        '"a": {"k": "\\u00e9"}, "source": "gold", "z": [1, 2.5, null, true]}}\n',
        '{"id": "EXAMPLE", "prompt": "p\\n\\nPlease show your reasoning steps before you give '
        'the answer.", "response": "Reasoning:\\n1. c\\nAnswer: a", "metadata": '
        '{"source_trace_id": "ID", "created_at": "CREATED", "trace_version": "1.0"}}\n',
    ),
    "show_your_work": (
        '{"id": "ID", "prompt": "Wie \\"viel\\" ist 1/2 + \\u00bd?\\n\\n", "completion": '
        '"<reasoning>\\u00bd = 1/2\\ntab\\there, \\ud83d\\ude00</reasoning>\\n'
        '<answer>1 \\\\ 1.0</answer>"}\n',
        '{"id": "ID", "prompt": "p\\n", "completion": '
        '"<reasoning>c</reasoning>\\n<answer>a</answer>"}\n',
    ),
}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with Workspace(tmp_path_factory.mktemp("full") / "workspace", Plugins.of()) as workspace:
        workspace.traces.create_many(
            [
                Trace(
                    f"Question {n}?",
                    str(n),
                    (Step(0, "t", "c"),),
                    None if n % 5 == 0 else {"source": ("old", "new")[n % 2], "n": n},
                )
                for n in range(STORED)
            ]
        )
        yield workspace


def ids(workspace: Workspace) -> list[str]:
    """Of all traces, newest first."""
    return [item.id for item in workspace.traces.summaries(STORED).items]


@pytest.mark.parametrize("export_format", FORMATS)
def test_the_bytes_of_an_export_never_change(tmp_path: Path, export_format: str) -> None:
    with Workspace(tmp_path / "workspace", Plugins.of()) as workspace:
        given_, bare = workspace.traces.create_many([GIVEN, BARE])
        workspace.datasets.build("gold", "v1", trace_ids=[given_.id, bare.id])
        lines = list(workspace.datasets.export("gold-v1", export_format))
        namespace = uuid.UUID("5b8c3d52-4f5e-4f0e-9a39-0d6f2a3c7e11")
        for stored, line, golden in zip((given_, bare), lines, GOLDEN[export_format], strict=True):
            example = str(uuid.uuid5(namespace, stored.id))
            wanted = golden.replace("EXAMPLE", example).replace('"ID"', f'"{stored.id}"')
            assert line == wanted.replace("CREATED", stored.created_at)


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, STORED - 1), min_size=1, max_size=600, unique=True),
    st.sampled_from(sorted(FORMATS)),
)
def test_named_traces_are_exported_as_a_dataset_of_them_is(
    full: Workspace, places: list[int], export_format: str
) -> None:
    every = ids(full)
    chosen = [every[place] for place in places]
    name = uuid.uuid4().hex
    full.datasets.build(name, "v1", trace_ids=chosen)
    exported = list(full.datasets.export(f"{name}-v1", export_format))
    assert list(full.traces.export_lines(export_format, trace_ids=chosen)) == exported


def exported_ids(workspace: Workspace, **options: Any) -> list[str]:
    return [json.loads(line)["id"] for line in workspace.traces.export_lines(**options)]


def test_traces_are_exported_newest_first_and_up_to_the_limit(full: Workspace) -> None:
    every = ids(full)
    assert exported_ids(full) == every
    assert exported_ids(full, limit=3) == every[:3]
    assert exported_ids(full, limit=0) == []
    new = [item.id for item in full.traces.summaries(STORED, filters={"source": "new"}).items]
    assert exported_ids(full, filters={"source": "new"}) == new
    assert exported_ids(full, filters={"source": "new"}, limit=7) == new[:7]
    assert exported_ids(full, filters={"source": "nobody"}) == []


def test_named_traces_keep_the_order_of_the_request(full: Workspace) -> None:
    every = ids(full)
    unknown = ["00000000-0000-4000-8000-000000000000", "no id at all", ""]
    asked = [every[9], unknown[0], every[2], unknown[1], every[400].upper(), unknown[2]]
    assert exported_ids(full, trace_ids=asked) == [every[9], every[2], every[400]]
    assert exported_ids(full, trace_ids=[]) == []
    new = set(exported_ids(full, filters={"source": "new"}))
    among = exported_ids(full, trace_ids=every[:20], filters={"source": "new"}, limit=4)
    assert among == [trace_id for trace_id in every[:20] if trace_id in new][:4]


def test_an_export_is_refused_before_its_first_line(full: Workspace) -> None:
    with pytest.raises(UsageError, match="known: trace"):
        full.traces.export_lines("xml")
    with pytest.raises(UsageError, match="limit -1"):
        full.traces.export_lines(limit=-1)


def test_an_export_holds_a_few_traces_at_a_time(tmp_path: Path) -> None:
    filler = "work " * 500
    with Workspace(tmp_path / "workspace", Plugins.of()) as workspace:
        for _ in range(5):
            workspace.traces.create_many(
                [Trace(f"{n}?", "a", (Step(0, "t", filler + str(n)),)) for n in range(1000)]
            )
        workspace.datasets.build("all", "v1")
        for lines in (workspace.traces.export_lines(), workspace.datasets.export("all-v1")):
            tracemalloc.start()
            try:
                size = sum(len(line) for line in lines)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert size > 12_000_000
            assert peak < size / 2
