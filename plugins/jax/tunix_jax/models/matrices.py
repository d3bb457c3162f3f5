"""The matrices of a block, each fact about one of them once.

Whoever goes through the matrices reads this table: the block, its files, shardings, costs,
adapters and the optimizer's masks. Imports no JAX.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

Axis = Literal["d_model", "queries", "keys", "d_ff"]


@frozen
class Matrix:
    """One matrix of every block.

    Args:
        name: Its key in the parameters of a block.
        hub: Name in Hugging Face's files, after ``model.layers.N.``; one ``{}`` for the place
            on each axis before the last two.
        lora: Name among the targets of the PEFT library; None: it gets no adapter.
        axes: Its axes, the last two being inputs and outputs; before them what it is repeated
            over, as experts. The decoder's config has their sizes.
        biased: Has a bias where the config asks for ``attention_bias``.
    """

    name: str
    hub: str
    lora: str | None
    axes: tuple[Axis, ...]
    biased: bool = False


ATTENTION = (
    Matrix("query", "self_attn.q_proj", "q_proj", ("d_model", "queries"), biased=True),
    Matrix("key", "self_attn.k_proj", "k_proj", ("d_model", "keys"), biased=True),
    Matrix("value", "self_attn.v_proj", "v_proj", ("d_model", "keys"), biased=True),
    Matrix("attention_out", "self_attn.o_proj", "o_proj", ("queries", "d_model")),
)
GATED_MLP = (
    Matrix("gate", "mlp.gate_proj", "gate_proj", ("d_model", "d_ff")),
    Matrix("up", "mlp.up_proj", "up_proj", ("d_model", "d_ff")),
    Matrix("down", "mlp.down_proj", "down_proj", ("d_ff", "d_model")),
)
# Those of every kind of block together; ``DecoderConfig.matrices`` has those of one decoder.
MATRICES: tuple[Matrix, ...] = ATTENTION + GATED_MLP
