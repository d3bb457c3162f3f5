"""Tokenizers: trained on a dataset, or read from a file or a Hugging Face directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from tunix_core.errors import TunixError, UsageError
from tunix_core.rendering import TAGS
from tunix_jax.text.tokenizer_files import (
    BEGIN,
    END,
    PAD,
    VOCABULARY,
    carried,
    control_tokens,
    read_files,
)

# Models pad their embedding a little, to a multiple that their hardware likes.
_SPARE_ROWS = 1024
# A word or sign with the space before it; every digit and every line break by itself.
_PIECES = r" ?\d| ?[\p{L}\p{M}]+| ?[^\s\p{L}\p{M}\d]|\s"


class TextTokenizer:
    """Text to token ids and back, without loss.

    Text is text: ``<eos>`` or another control token that somebody wrote in a prompt is encoded
    letter by letter. Only :meth:`markup` reads control tokens.

    Args:
        files: ``tokenizer.json``, and what else came with it, by name.
        rows: Rows of the model's embedding, or None to make a model that suits the tokenizer.

    Attributes:
        begin: Id that starts every sequence, or None.
        end: Id that ends a sequence.
        ends: All ids that end a sequence or a turn; ``end`` is the first.
        pad: Id that fills rows up.
        vocab_size: All ids are below this, added tokens included.

    Raises:
        UsageError: The files cannot be read, or no token ends a sequence.
        TunixError: The tokenizer belongs to a model of another vocabulary.
    """

    def __init__(self, files: Mapping[str, bytes], rows: int | None = None) -> None:
        self._files = dict(files)
        self._tokenizer = _make(files[VOCABULARY])
        base = self._tokenizer.get_vocab_size(with_added_tokens=False)
        largest = max(base - 1, *self._tokenizer.get_added_tokens_decoder(), 0)
        self.vocab_size = largest + 1
        self._rows = self.vocab_size if rows is None else rows
        if base > self._rows or self.vocab_size < self._rows - _SPARE_ROWS:
            raise TunixError(
                "tokenizer and model of different vocabularies: "
                f"{self.vocab_size} tokens, {self._rows} rows",
                "use the tokenizer that came with the model",
            )
        control = control_tokens(self._tokenizer, files, self._rows)
        self.begin, self.ends, self.pad = control.begin, control.ends, control.pad
        self.end = self.ends[0]
        self._protect()

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> TextTokenizer:
        """Byte-level BPE (Sennrich et al., 2016) in which every digit is a token of its own.

        Args:
            texts: Training text; read once, not held.
            vocab_size: Largest number of tokens; at least the 256 bytes and the special ones.
        """
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_PIECES), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[
                *(AddedToken(token, special=True) for token in (PAD, BEGIN, END)),
                # Tags are text that models read and write; they only happen to be one token each.
                *(AddedToken(tag, special=False) for tag in TAGS),
            ],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        state = json.loads(tokenizer.to_str())
        _tags_are_text(state)
        text = json.dumps(state, ensure_ascii=False, indent=2)
        return cls({VOCABULARY: text.encode()})

    @classmethod
    def load(cls, path: Path) -> TextTokenizer:
        """Read a ``tokenizer.json`` with the tokens ``<bos>`` and ``<eos>``, or a directory.

        Raises:
            UsageError: The file is not there or no tokenizer.
        """
        if path.is_dir():
            return cls.from_directory(path)
        try:
            return cls({VOCABULARY: path.read_bytes()})
        except OSError as error:
            raise UsageError(f"cannot read the tokenizer {path}: {error.strerror}") from None
        except UsageError as error:
            raise UsageError(f"cannot read the tokenizer {path}: {error}") from None

    @classmethod
    def from_directory(cls, path: Path, rows: int | None = None) -> TextTokenizer:
        """Read the tokenizer of a model in Hugging Face's form, or of a saved run.

        Args:
            path: Directory with ``tokenizer.json``, and mostly ``tokenizer_config.json``,
                ``generation_config.json`` and ``config.json``.
            rows: Rows of the model's embedding; None for a model that is yet to be made.

        Raises:
            UsageError: A file is missing or cannot be read.
            TunixError: More tokens than rows, or many more rows than tokens.
        """
        try:
            return cls(read_files(path), rows)
        except UsageError as error:
            raise UsageError(f"cannot read the tokenizer {path}: {error}") from None

    def save(self, path: Path) -> None:
        """Write a ``tokenizer.json``."""
        path.write_bytes(self._files[VOCABULARY])

    def files(self) -> dict[str, bytes]:
        """What to write beside a saved model, by file name; unchanged since it was read."""
        return carried(self._files)

    def source_files(self) -> Mapping[str, bytes]:
        """All files that the tokenizer was made from, by name."""
        return self._files

    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal of all that decides how text becomes ids."""
        digest = hashlib.sha256(self._files[VOCABULARY])
        digest.update(repr((self.begin, self.ends, self.pad)).encode())
        return digest.hexdigest()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, with nothing put before or after them.

        Raises:
            TunixError: A token has no row in the model.
        """
        batch = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        encoded = [encoding.ids for encoding in batch]
        if self.vocab_size > self._rows:
            for ids in encoded:
                self._check(ids)
        return encoded

    def markup(self, text: str) -> list[int]:
        """Token ids of text in which control tokens count as such.

        Raises:
            TunixError: A token has no row in the model.
        """
        self._tokenizer.encode_special_tokens = False
        try:
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        finally:
            self._tokenizer.encode_special_tokens = True
        self._check(ids)
        return ids

    def decode(self, ids: Sequence[int], control: bool = False) -> str:
        """The text of token ids; control tokens are left out, unless ``control``."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=not control))

    def single(self, text: str) -> int | None:
        """The id of a text that is one token, control tokens included, or None."""
        ids = self.markup(text)
        return ids[0] if len(ids) == 1 else None

    def is_control(self, number: int) -> bool:
        """Whether an id is one that text never has."""
        added = self._tokenizer.get_added_tokens_decoder()
        return number in added and bool(added[number].special)

    def _protect(self) -> None:
        """Make sure that no text is read as a token that ends, begins or fills a sequence."""
        ids = {self.pad, *self.ends} | (set() if self.begin is None else {self.begin})
        tokens = [self._tokenizer.id_to_token(number) for number in sorted(ids)]
        self._tokenizer.add_special_tokens(
            [AddedToken(token, special=True, normalized=False) for token in tokens]
        )
        self._tokenizer.encode_special_tokens = True

    def _check(self, ids: Sequence[int]) -> None:
        if ids and max(ids) >= self._rows:
            token = self._tokenizer.id_to_token(max(ids))
            raise TunixError(
                f"token {token!r} has id {max(ids)}, the model has {self._rows} rows",
                "take it out of the text",
            )


def _make(raw: bytes) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``, which cuts and pads nothing.

    Raises:
        UsageError: It is none.
    """
    try:
        text = raw.decode()
        # Tokenizers were once saved with tags that counted as control tokens.
        if any(f'"{tag}"' in text for tag in TAGS):
            state = json.loads(text)
            _tags_are_text(state)
            text = json.dumps(state, ensure_ascii=False)
        tokenizer = Tokenizer.from_str(text)
    # The library raises plain Exception.
    except Exception as error:
        raise UsageError(f"{VOCABULARY} is no tokenizer: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _tags_are_text(state: dict[str, list[dict[str, object]]]) -> None:
    for token in state["added_tokens"]:
        if token["content"] in TAGS:
            token["special"] = False
