"""Datasets as token ids: made once, kept by content, mapped into memory."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tokenizers
from attrs import field, frozen
from numpy.typing import NDArray

from tunix_core.codec import trace_from_data
from tunix_core.errors import TunixError, UsageError
from tunix_core.rendering import Rendered, render
from tunix_jax.text.prompt_encoder import PromptEncoder

# Raised whenever other ids, or the same ids in other files, are written.
_FORMAT = 1
_CHUNK = 1000
_TOKENS, _OFFSETS, _PROMPTS = "tokens.bin", "offsets.npy", "prompt_lengths.npy"

# The rendered examples of a data file, by its path and the name of a template.
Reader = Callable[[Path, str], Iterator[Rendered]]


@frozen(eq=False)
class TokenizedExamples:
    """Token ids of examples, one after another.

    Args:
        tokens: uint32[number of tokens]; prompt and completion of each example, end included.
        offsets: int64[examples + 1]; where each example begins, and the last one ends.
        prompt_lengths: int32[examples]; ids before the completion.
        key: Digest of data, rendering and encoder: the same key, the same ids.
    """

    tokens: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    prompt_lengths: NDArray[np.int32]
    key: str = ""
    lengths: NDArray[np.int64] = field(init=False)

    @lengths.default
    def _lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.prompt_lengths)

    def ids(self, example: int) -> NDArray[np.uint32]:
        """uint32[length]: the ids of one example."""
        return self.tokens[self.offsets[example] : self.offsets[example + 1]]


def read_examples(path: Path, template: str) -> Iterator[Rendered]:
    """The rendered traces of a data file, one at a time.

    Raises:
        UsageError: The file cannot be read, or there is no such template.
        TunixError: A line is no trace.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    trace = trace_from_data(json.loads(line))
                except (ValueError, TunixError) as error:
                    raise TunixError(f"{path}, line {number}: {error}") from None
                yield render(trace, template)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def tokenized(
    path: Path, template: str, encoder: PromptEncoder, read: Reader = read_examples
) -> TokenizedExamples:
    """The token ids of a data file, from the cache or by way of it.

    Args:
        path: One record per line.
        template: Name of the rendering template.
        encoder: Makes the ids.
        read: The rendered examples of a data file; each kind of record has one reader.

    Raises:
        UsageError: The file cannot be read or holds nothing.
        TunixError: A line is not such a record, or the cache cannot be written.
    """
    key = _key(path, template, encoder, read)
    entry = _cache_directory() / key
    examples = _open(entry, key)
    if examples is None:
        try:
            examples = _make(entry, read(path, template), encoder, key)
        except OSError as error:
            raise TunixError(
                f"cannot write the token cache {entry.parent}: {error.strerror}",
                "set XDG_CACHE_HOME to a directory with room",
            ) from None
    if not len(examples):
        raise UsageError(f"{path} holds no trace")
    return examples


def _cache_directory() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "tunix-jax" / "tokens"


def _key(path: Path, template: str, encoder: PromptEncoder, read: Reader) -> str:
    try:
        with path.open("rb") as file:
            data = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    parts: tuple[object, ...] = (
        data,
        template,
        encoder.fingerprint(),
        tokenizers.__version__,
        _FORMAT,
    )
    if read is not read_examples:
        # Another reader makes other examples of the same file.
        parts = (*parts, f"{read.__module__}.{getattr(read, '__qualname__', read)}")
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _open(entry: Path, key: str) -> TokenizedExamples | None:
    """The entry mapped into memory, or None when it is missing, torn or of another form."""
    try:
        offsets: Any = np.load(entry / _OFFSETS, mmap_mode="r", allow_pickle=False)
        prompts: Any = np.load(entry / _PROMPTS, mmap_mode="r", allow_pickle=False)
        size = (entry / _TOKENS).stat().st_size
        whole = (offsets.dtype, prompts.dtype) == (np.int64, np.int32) and (
            len(offsets) == len(prompts) + 1 and offsets[-1] * 4 == size
        )
        if not whole:
            return None
        # An empty file cannot be mapped.
        tokens: Any = np.memmap(entry / _TOKENS, np.uint32, "r") if size else np.empty(0, np.uint32)
    except (OSError, ValueError, EOFError):
        return None
    # Plain views: numpy's own memmap class makes every slice slower.
    return TokenizedExamples(np.asarray(tokens), np.asarray(offsets), np.asarray(prompts), key)


def _make(
    entry: Path, rendered: Iterator[Rendered], encoder: PromptEncoder, key: str
) -> TokenizedExamples:
    """Write an entry under another name, map it, and move it in place.

    What is mapped stays readable, also when another process was first or comes later.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=entry.parent))
    try:
        _write(temporary, rendered, encoder)
        examples = _open(temporary, key)
        if examples is None:
            raise TunixError(f"{entry.parent} does not hold what was written", "check the disk")
        if _open(entry, key) is None:
            shutil.rmtree(entry, ignore_errors=True)
        with contextlib.suppress(OSError):
            temporary.rename(entry)
        return examples
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(directory: Path, rendered: Iterator[Rendered], encoder: PromptEncoder) -> None:
    lengths: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
    prompts: list[NDArray[np.int32]] = [np.zeros(0, np.int32)]
    with (directory / _TOKENS).open("wb") as file:
        while chunk := list(islice(rendered, _CHUNK)):
            _encode(chunk, encoder, file, lengths, prompts)
        _sync(file)
    offsets = np.cumsum(np.concatenate(lengths))
    for name, array in ((_OFFSETS, offsets), (_PROMPTS, np.concatenate(prompts))):
        with (directory / name).open("wb") as file:
            np.save(file, array, allow_pickle=False)
            _sync(file)


def _encode(
    chunk: list[Rendered],
    encoder: PromptEncoder,
    file: BinaryIO,
    lengths: list[NDArray[np.int64]],
    prompts: list[NDArray[np.int32]],
) -> None:
    """Append the ids of some examples to ``file``, their lengths to the lists."""
    before = encoder.prompt_ids([example.prompt for example in chunk])
    after = encoder.completion_ids([example.completion for example in chunk])
    pieces = [piece for pair in zip(before, after, strict=True) for piece in pair]
    sizes = np.fromiter(map(len, pieces), np.int64, len(pieces)).reshape(-1, 2)
    ids = np.fromiter(chain.from_iterable(pieces), np.uint32, int(sizes.sum()))
    file.write(ids.tobytes())
    lengths.append(sizes.sum(axis=1))
    prompts.append(sizes[:, 0].astype(np.int32))


def _sync(file: BinaryIO) -> None:
    """To the disk, so that a rename never makes a torn file look whole."""
    file.flush()
    os.fsync(file.fileno())
