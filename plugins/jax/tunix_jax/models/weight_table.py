"""Which array of ours is which tensor in Hugging Face files: one table for all families."""

from __future__ import annotations

from attrs import frozen

from tunix_jax.models.decoder_config import DecoderConfig


@frozen
class Weight:
    """One array of the parameters and its tensors in a file.

    Args:
        path: Keys of the array in the nested parameters.
        name: Name of the tensor; ``{layer}`` stands for the number of the block.
        shape: Of the array, without the layer axis.
        layers: Blocks stacked on the array's first axis; None for an array outside the blocks.
        transposed: The tensor is [outputs, inputs], the array [inputs, outputs].
    """

    path: tuple[str, ...]
    name: str
    shape: tuple[int, ...]
    layers: int | None = None
    transposed: bool = False

    @property
    def full_shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.shape if self.layers is None else (self.layers, *self.shape)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of each tensor in a file."""
        return self.shape[::-1] if self.transposed else self.shape

    @property
    def names(self) -> list[str]:
        """Names of the tensors, one for each layer."""
        if self.layers is None:
            return [self.name]
        return [self.name.format(layer=layer) for layer in range(self.layers)]


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
    return [_of_block(ours, "scale", theirs, (size,), config) for ours, theirs, size in names]


def _projections(config: DecoderConfig) -> list[Weight]:
    width, inner = config.d_model, config.d_ff
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    names = [
        ("query", "self_attn.q_proj", (width, queries)),
        ("key", "self_attn.k_proj", (width, keys)),
        ("value", "self_attn.v_proj", (width, keys)),
        ("attention_out", "self_attn.o_proj", (queries, width)),
        ("gate", "mlp.gate_proj", (width, inner)),
        ("up", "mlp.up_proj", (width, inner)),
        ("down", "mlp.down_proj", (inner, width)),
    ]
    table = [_of_block(ours, "weight", theirs, shape, config) for ours, theirs, shape in names]
    if config.attention_bias:
        biased = [entry for entry in names if entry[0] in ("query", "key", "value")]
        table += [
            _of_block(ours, "bias", theirs, shape[1:], config) for ours, theirs, shape in biased
        ]
    return table


def _of_block(
    ours: str, part: str, theirs: str, shape: tuple[int, ...], config: DecoderConfig
) -> Weight:
    suffix = "bias" if part == "bias" else "weight"
    name = f"model.layers.{{layer}}.{theirs}.{suffix}"
    return Weight(("blocks", ours, part), name, shape, config.layers, transposed=len(shape) == 2)
