"""Which array of ours is which tensor in Hugging Face files: one table for all families."""

from __future__ import annotations

from itertools import product

from attrs import frozen

from tunix_jax.models.decoder_config import DecoderConfig
from tunix_jax.models.matrices import Matrix

_BLOCK = "model.layers.{}."


@frozen
class Weight:
    """One array of the parameters and its tensors in a file.

    Args:
        path: Keys of the array in the nested parameters.
        name: Name of its tensors; one ``{}`` for the place on each stacked axis.
        shape: Of the array, without the stacked axes.
        stacked: Sizes of the leading axes along which tensors are stacked, layers first; empty
            for an array outside the blocks, which is one tensor.
        transposed: The tensor is [outputs, inputs], the array [inputs, outputs].
    """

    path: tuple[str, ...]
    name: str
    shape: tuple[int, ...]
    stacked: tuple[int, ...] = ()
    transposed: bool = False

    @property
    def full_shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return (*self.stacked, *self.shape)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of each tensor in a file."""
        return self.shape[::-1] if self.transposed else self.shape

    @property
    def places(self) -> list[tuple[int, ...]]:
        """The place of each of its tensors on the stacked axes."""
        return list(product(*map(range, self.stacked)))

    def tensor(self, place: tuple[int, ...]) -> str:
        """Name of the tensor at a place on the stacked axes."""
        return self.name.format(*place)

    @property
    def tensors(self) -> list[str]:
        """Names of its tensors, in the order of their places."""
        return [self.tensor(place) for place in self.places]


def weight_table(config: DecoderConfig) -> list[Weight]:
    """Every array of a decoder, in the order in which files have them."""
    wide = (config.vocab_size, config.d_model)
    table = [Weight(("embedding",), "model.embed_tokens.weight", wide)]
    if config.previous_token:
        table.append(Weight(("previous_embedding",), "model.embed_previous_tokens.weight", wide))
    table += _norms(config) + _projections(config)
    table.append(Weight(("final_norm", "scale"), "model.norm.weight", (config.d_model,)))
    if not config.tied:
        table.append(Weight(("head",), "lm_head.weight", wide))
    return table


def _norms(config: DecoderConfig) -> list[Weight]:
    """Norms of the blocks; models with four of them name the third otherwise."""
    width, head = config.d_model, config.head_dim
    names = [("attention_norm", "input_layernorm", width)]
    if config.post_norms:
        names += [
            ("post_attention_norm", "post_attention_layernorm", width),
            ("mlp_norm", "pre_feedforward_layernorm", width),
            ("post_mlp_norm", "post_feedforward_layernorm", width),
        ]
    else:
        names.append(("mlp_norm", "post_attention_layernorm", width))
    if config.qk_norm:
        names += [
            ("query_norm", "self_attn.q_norm", head),
            ("key_norm", "self_attn.k_norm", head),
        ]
    return [
        Weight(("blocks", ours, "scale"), f"{_BLOCK}{theirs}.weight", (size,), (config.layers,))
        for ours, theirs, size in names
    ]


def _projections(config: DecoderConfig) -> list[Weight]:
    """Matrices of the blocks, then their biases."""
    biased = [matrix for matrix in config.matrices if matrix.biased and config.attention_bias]
    return [_part(matrix, "weight", 2, config) for matrix in config.matrices] + [
        _part(matrix, "bias", 1, config) for matrix in biased
    ]


def _part(matrix: Matrix, kind: str, axes: int, config: DecoderConfig) -> Weight:
    """What a matrix has along its last axes."""
    shape = config.shape(matrix)
    return Weight(
        ("blocks", matrix.name, kind),
        f"{_BLOCK}{matrix.hub}.{kind}",
        shape[-axes:],
        (config.layers, *shape[:-2]),
        transposed=axes == 2,
    )
