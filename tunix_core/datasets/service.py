"""Datasets: selections of traces, materialised, hashed, and immutable once built."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from attrs import evolve

from tunix_core.base.clock import new_id, now
from tunix_core.base.paths import WorkspacePaths
from tunix_core.codec import check_json, trace_from_canonical, with_meta
from tunix_core.datasets import reading
from tunix_core.datasets.contamination import question_key, shared_items
from tunix_core.datasets.files import DATA, Progress, publish
from tunix_core.datasets.reading import MAX_KEY_CHARS, is_key
from tunix_core.datasets.references import Lines, find_faults
from tunix_core.datasets.selection import Selection, Strategy, choose, choose_mix
from tunix_core.errors import IntegrityError, NotFoundError, UsageError
from tunix_core.evaluators.answer_spec import answer_type as known_type
from tunix_core.plugins import Plugins
from tunix_core.plugins.tools import PluginTools
from tunix_core.records import Contamination, DatasetManifest, Item, Trace
from tunix_core.store import Store
from tunix_core.store.labels import Matches
from tunix_core.traces import exports

SCHEMA_VERSION = "1.1"


def dataset_key(name: str, version: str) -> str:
    """``name-version`` with spaces and slashes replaced by ``_``.

    Raises:
        UsageError: The key would not be a safe directory name.
    """
    key = "-".join(re.sub(r"[ /]", "_", part) for part in (name, version))
    if not name or not version or not is_key(key):
        raise UsageError(
            f"{key!r} cannot be a dataset key",
            f"use letters, digits, '.', '_' and '-', at most {MAX_KEY_CHARS} in all",
        )
    return key


class Datasets:
    """Builds, reads, checks and exports datasets.

    Args:
        store: What the workspace holds.
        plugins: The active plugins; their versions are recorded.
        paths: The workspace's directories.
    """

    def __init__(self, store: Store, plugins: Plugins, paths: WorkspacePaths) -> None:
        self._store = store
        self._plugins = plugins
        self._paths = paths

    def build(
        self,
        name: str,
        version: str,
        *,
        filters: Mapping[str, Any] | None = None,
        trace_ids: Sequence[str] | None = None,
        import_id: str | None = None,
        mix: Mapping[str, float] | None = None,
        strategy: Strategy = "latest",
        seed: int | None = None,
        limit: int | None = None,
        session_id: str | None = None,
        parent_dataset_id: str | None = None,
        training_run_id: str | None = None,
        provenance: Mapping[str, Any] | None = None,
        keep_faulty: bool = False,
        answer_type: str | None = None,
        on_progress: Progress | None = None,
    ) -> DatasetManifest:
        """Select traces and materialise them; newest first unless said otherwise.

        Every reference is judged by itself, see :mod:`tunix_core.datasets.references`; where some
        are faulty, the provenance says under ``faulty`` how many, whether they were kept, and of
        the first ones which and why.

        Args:
            name: Name of the dataset; with the version it makes the key.
            version: Its version.
            filters: Top-level keys of ``meta`` with the values they must equal.
            trace_ids: Exactly these traces, in this order.
            import_id: Only the traces that one import stored.
            mix: Shares by ``meta.source``, exact by largest remainder; with ``filters`` within
                what these match.
            strategy: ``latest`` takes the newest, ``random`` a sample by ``seed``.
            seed: Seed of the sample.
            limit: How many traces; all that match by default.
            session_id: Kept in the manifest, as are the next two.
            parent_dataset_id: What it was made of.
            training_run_id: What it was made by.
            provenance: Merged over the generated provenance.
            keep_faulty: Keep references that are faulty; by default they are left out.
            answer_type: How answers are compared, written into the meta of every line that does
                not say so itself; a synonym such as ``numeric`` will do.
            on_progress: Called with (done, total): each trace is judged, then written.

        Returns:
            The manifest; of the dataset that is there already when it holds the same data.

        Raises:
            UsageError: Nothing matches, everything is faulty, there is no such answer type, or
                the request contradicts itself.
            NotFoundError: A trace id or import is unknown.
            ConflictError: The key is taken by other data.
            TunixError: The disk is full; nothing became visible.
        """
        named: dict[str, Any] = {"dataset_name": name, "dataset_version": version}
        kept = {
            "session_id": session_id,
            "parent_dataset_id": parent_dataset_id,
            "training_run_id": training_run_id,
        }
        fields = named | {"dataset_key": dataset_key(name, version), "seed": seed, **kept}
        check_json([filters, provenance], "$", "filters or provenance")
        answer_type = None if answer_type is None else known_type(answer_type)
        selection = self._select(
            filters or {}, trace_ids, import_id, mix, strategy=strategy, seed=seed, limit=limit
        )
        fields |= {"filters": dict(filters or {}), "selection_strategy": selection.strategy}
        lines = partial(self._lines, answer_type)
        selection, faulty = self._judge(
            fields["dataset_key"], selection, lines, keep_faulty, _shifted(on_progress, 0)
        )
        origin = _origin(mix, strategy, import_id, answer_type) | faulty
        judged = _shifted(on_progress, 1)
        data = lines(selection.sequences)
        return self._publish(fields, selection, data, origin, provenance or {}, judged)

    def _lines(
        self, answer_type: str | None, sequences: Sequence[int]
    ) -> Iterator[tuple[str, str]]:
        """Id and canonical text of traces, each of which says how its answer is compared."""
        lines = self._store.traces.lines(sequences)
        return lines if answer_type is None else _typed(lines, answer_type)

    def _judge(
        self,
        key: str,
        selection: Selection,
        lines: Lines,
        keep_faulty: bool,
        on_progress: Progress | None,
    ) -> tuple[Selection, dict[str, Any]]:
        """What is left of a selection, and what the provenance says of faulty references."""
        if not selection.sequences:
            raise UsageError(
                f"dataset {key} would be empty: no trace matches", "see: tunix-rt traces list"
            )
        sequences = selection.sequences
        faults = find_faults(sequences, lines, PluginTools(self._plugins), on_progress)
        if not faults.count:
            return selection, {}
        places, reasons = zip(*faults.first(), strict=True)
        ids = [trace_id for trace_id, _ in lines([sequences[place] for place in places])]
        first = [
            {"trace_id": trace_id, "reason": reason}
            for trace_id, reason in zip(ids, reasons, strict=True)
        ]
        if not keep_faulty:
            selection = evolve(selection, sequences=faults.sound(sequences))
        if not selection.sequences:
            raise UsageError(
                f"dataset {key} would be empty: every reference is faulty: trace {ids[0]}: "
                f"{reasons[0]}",
                "mend them, or say --keep-faulty",
            )
        report = {"count": faults.count, "kept": keep_faulty, "first": first}
        return selection, {"faulty": report}

    def _publish(
        self,
        fields: Mapping[str, Any],
        selection: Selection,
        lines: Iterator[tuple[str, str]],
        origin: Mapping[str, Any],
        provenance: Mapping[str, Any],
        on_progress: Progress | None,
    ) -> DatasetManifest:
        """Write a selection as a dataset, and tell the observers if it is new."""
        created_at = now()
        complete = {
            **fields,
            "build_id": new_id(),
            "dataset_schema_version": SCHEMA_VERSION,
            "created_at": created_at,
        }
        generated = {
            "schema_version": SCHEMA_VERSION,
            "source": "tunix-core",
            "build_timestamp": created_at,
            "trace_count": len(selection.sequences),
            "selection_strategy": selection.strategy,
            **({} if fields["seed"] is None else {"seed": fields["seed"]}),
            "stored_count": selection.stored,
            "matched_count": selection.matched,
            **origin,
            "plugins": self._plugins.versions(),
        }
        manifest, is_new = publish(
            self._paths.datasets, complete, generated, provenance, lines, on_progress
        )
        if is_new:
            self._plugins.observe("tunix_dataset_built", manifest=manifest)
        return manifest

    def list(self) -> list[DatasetManifest]:
        """Every dataset, by key."""
        return [self.manifest(key) for key in reading.keys(self._paths.datasets)]

    def manifest(self, key: str) -> DatasetManifest:
        """The manifest of a dataset.

        Raises:
            NotFoundError: There is no such dataset.
            InvalidRecordError: The manifest was edited into something else.
        """
        return reading.find_manifest(self._paths.datasets, key)

    def data_path(self, key: str) -> Path:
        """The data file of a dataset, checked just now: one canonical trace per line.

        Raises:
            NotFoundError: There is no such dataset.
            IntegrityError: The data is not what the manifest says.
        """
        return self._paths.datasets / self.verify(key).dataset_key / DATA

    def items(self, key: str) -> Iterator[Item]:
        """The items of a dataset in order; their ids are the trace ids.

        Raises:
            NotFoundError: There is no such dataset.
            IntegrityError: The data is not what the manifest says; raised before the first item.
        """
        return reading.read_items(self._paths.datasets, key)

    def verify(self, key: str) -> DatasetManifest:
        """Recompute the hash and the count of the data.

        Raises:
            NotFoundError: There is no such dataset.
            IntegrityError: The data is not what the manifest says.
        """
        return reading.verify(self._paths.datasets, key)

    def overlap(self, first: str, second: str) -> int:
        """Number of items of ``second`` whose question is also asked in ``first``.

        Questions are compared by their normalised text: white space, upper and lower case, Unicode
        form and a label such as ``Question:`` before or ``Answer:`` behind aside.
        """
        asked = Counter(question_key(item.trace) for item in self.items(second))
        return sum(asked.pop(question_key(item.trace), 0) for item in self.items(first))

    def examples(self, key: str, count: int, apart_from: str) -> tuple[Trace, ...]:
        """Worked examples for the questions of another dataset: the first of a dataset.

        Args:
            key: Where the examples are taken from.
            count: How many.
            apart_from: The dataset that will be asked; its questions are never examples.

        Raises:
            NotFoundError: There is no such dataset.
            UsageError: There are not as many.
        """
        asked = {question_key(item.trace) for item in self.items(apart_from)}
        held = (item.trace for item in self.items(key) if question_key(item.trace) not in asked)
        found = tuple(evolve(trace, meta=None) for trace in islice(held, count))
        if len(found) < count:
            raise UsageError(
                f"{key} has {len(found)} questions that are not in {apart_from}; {count} examples "
                "are wanted",
                "take fewer, or another dataset",
            )
        return found

    def contamination(
        self, train: str, test: str, on_progress: Progress | None = None
    ) -> Contamination:
        """What a test shares with training data: questions, words in a row, and work.

        Args:
            train: The dataset that is trained on.
            test: The dataset that is tested with.
            on_progress: Called with (compared, total) as the training data is read.

        Raises:
            NotFoundError: There is no such dataset.
            IntegrityError: The data is not what the manifest says.
        """
        trained, tested = self.manifest(train), self.manifest(test)
        shared = shared_items(
            self.items(train),
            lambda: self.items(test),
            None if on_progress is None else lambda done: on_progress(done, trained.trace_count),
        )
        return Contamination(train, test, trained.sha256, tested.sha256, tested.trace_count, shared)

    def export(self, key: str, export_format: str = "trace") -> Iterator[str]:
        """Lines of an export, in the order of the dataset.

        Args:
            key: The dataset.
            export_format: ``trace``, ``tunix_sft``, ``training_example`` or ``show_your_work``.

        Raises:
            NotFoundError: There is no such dataset.
            UsageError: There is no such format.
            IntegrityError: The dataset was changed, or its traces are in another workspace.
        """
        exports.check_format(export_format)
        manifest = self.verify(key)
        missing = manifest.trace_count - len(self._store.traces.sequences_of(manifest.trace_ids))
        if missing:
            raise IntegrityError(
                f"dataset {key}: {missing} of its traces are not in this workspace",
                "export it where it was built",
            )
        stored = self._store.traces.fetch(manifest.trace_ids)
        return (exports.export_line(trace, export_format) for trace in stored)

    def _select(
        self,
        filters: Mapping[str, Any],
        trace_ids: Sequence[str] | None,
        import_id: str | None,
        mix: Mapping[str, float] | None,
        *,
        strategy: Strategy,
        seed: int | None,
        limit: int | None,
    ) -> Selection:
        if strategy not in ("latest", "random"):
            raise UsageError(f"unknown strategy {strategy!r}", "known: latest, random")
        if strategy == "random" and seed is None:
            raise UsageError("strategy random needs a seed")
        if limit is not None and limit < 1:
            raise UsageError(f"limit {limit} must be 1 or more")
        if trace_ids is not None and (filters or import_id or mix):
            raise UsageError("trace ids cannot be combined with filters, an import or a mix")
        stored = self._store.traces.count()
        if trace_ids is not None:
            return self._select_ids(trace_ids, stored)
        if mix is not None:
            matches = {
                source: self._match({**filters, "source": source}, import_id) for source in mix
            }
            return choose_mix(matches, mix, stored, strategy, seed, limit)
        return choose(self._match(filters, import_id), stored, strategy, seed, limit)

    def _match(self, filters: Mapping[str, Any], import_id: str | None) -> Matches:
        if import_id is not None and not self._store.imports.exists(import_id):
            raise NotFoundError(f"import {import_id!r} not found", "an import prints its id")
        return self._store.traces.match(filters, import_id)

    def _select_ids(self, trace_ids: Sequence[str], stored: int) -> Selection:
        found = self._store.traces.sequences_of(trace_ids)
        missing = [trace_id for trace_id in trace_ids if trace_id not in found]
        if missing:
            raise NotFoundError(f"{len(missing)} of the traces not found, first {missing[0]!r}")
        if len(set(trace_ids)) != len(trace_ids):
            raise UsageError("a trace id is given twice")
        return Selection(
            [found[trace_id] for trace_id in trace_ids], stored, len(trace_ids), "explicit"
        )


def _origin(
    mix: Mapping[str, float] | None,
    strategy: Strategy,
    import_id: str | None,
    answer_type: str | None,
) -> dict[str, Any]:
    """What the provenance says of how traces were chosen and what was added to them."""
    return {
        **({} if mix is None else {"mix": dict(mix), "mix_strategy": strategy}),
        **({} if import_id is None else {"import_id": import_id}),
        **({} if answer_type is None else {"answer_type": answer_type}),
    }


def _typed(lines: Iterator[tuple[str, str]], answer_type: str) -> Iterator[tuple[str, str]]:
    """Lines of which each says how its answer is compared."""
    for trace_id, text in lines:
        meta = trace_from_canonical(text).meta
        if (meta or {}).get("answer_type") is None:
            typed = {**(meta or {}), "answer_type": answer_type}
            text = with_meta(text.encode(), meta, typed).decode()
        yield trace_id, text


def _shifted(on_progress: Progress | None, part: int) -> Progress | None:
    """Progress of one of two parts of the work, as that of the whole."""
    if on_progress is None:
        return None
    return lambda done, total: on_progress((part * total + done) // 2, total)
