"""Tokenizers that are trained on a dataset or read from a ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from tunix_core.errors import UsageError
from tunix_core.rendering import TAGS

PAD, BEGIN, END = "<pad>", "<bos>", "<eos>"
SPECIAL = (PAD, BEGIN, END, *TAGS)

# A word or sign with the space before it; every digit and every line break by itself.
_PIECES = r" ?\d| ?[\p{L}\p{M}]+| ?[^\s\p{L}\p{M}\d]|\s"


class TextTokenizer:
    """Text to token ids and back, without loss.

    Args:
        tokenizer: A tokenizer that has the tokens ``<pad>``, ``<bos>`` and ``<eos>``.

    Raises:
        UsageError: One of them is missing.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.pad, self.begin, self.end = (self._id(token) for token in (PAD, BEGIN, END))

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> TextTokenizer:
        """Byte-level BPE (Sennrich et al., 2016) in which every digit is a token of its own.

        Args:
            texts: Training text.
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
            special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    @classmethod
    def load(cls, path: Path) -> TextTokenizer:
        """Read a ``tokenizer.json``.

        Raises:
            UsageError: The file is not there or no tokenizer.
        """
        try:
            return cls(Tokenizer.from_file(str(path)))
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"cannot read the tokenizer {path}: {error}") from None

    def save(self, path: Path) -> None:
        """Write a ``tokenizer.json``."""
        self._tokenizer.save(str(path))

    @property
    def vocab_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without ``<bos>`` and ``<eos>``."""
        batch = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in batch]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids; ``<pad>``, ``<bos>`` and ``<eos>`` are left out."""
        silent = {self.pad, self.begin, self.end}
        kept = [token for token in ids if token not in silent]
        return str(self._tokenizer.decode(kept, skip_special_tokens=False))

    def single(self, text: str) -> int | None:
        """The id of a text that is one token, or None."""
        ids = self.encode([text])[0]
        return ids[0] if len(ids) == 1 else None

    def _id(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise UsageError(f"the tokenizer has no token {token}")
        return int(number)
