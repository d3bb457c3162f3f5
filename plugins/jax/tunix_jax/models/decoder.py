"""One decoder for every family: RMSNorm, rotary grouped-query attention, gated MLP.

Families differ by :class:`~tunix_jax.models.decoder_config.DecoderConfig`. Parameters are one
nested dict of arrays in which the blocks are stacked, so that they can be scanned; Flax modules
stand for single blocks while a function is traced.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from attrs import frozen
from flax import nnx
from jax.ad_checkpoint import checkpoint_policies
from jax.sharding import Mesh

from tunix_jax.models.attention import attend
from tunix_jax.models.block import Block
from tunix_jax.models.decoder_config import DecoderConfig, Lora
from tunix_jax.models.layers import RMSNorm
from tunix_jax.models.rotary import rotary_frequencies
from tunix_jax.sharding import constrain_rows, look_up

Params = dict[str, Any]
Remat = Literal["none", "dots", "full"]


@frozen
class Execution:
    """How a decoder is computed, which does not change what it computes.

    Args:
        remat: What is computed again in the backward pass instead of kept: ``none``; all but
            matrix products (``dots``); everything within a block (``full``).
        attention: ``dense``, ``blockwise``, ``splash`` (TPU), or ``auto`` by length and device.
        unroll: Blocks per iteration of the loop over them; more is faster on CPUs and slower to
            compile.
        mesh: Devices, see :mod:`tunix_jax.sharding`; None for a single one.
    """

    remat: Remat = "none"
    attention: Literal["auto", "dense", "blockwise", "splash"] = "auto"
    unroll: int = 1
    mesh: Mesh | None = None


class Decoder:
    """A decoder-only language model as functions of its parameters.

    Args:
        config: Its shape.
        lora: Adapters beside its matrices, or None.
        execution: How it is computed.
    """

    def __init__(
        self,
        config: DecoderConfig,
        lora: Lora | None = None,
        execution: Execution = Execution(),
    ) -> None:
        self.config = config
        self.lora = lora
        self.execution = execution

    def init(self, seed: int) -> Params:
        """New float32 parameters; a pure function, to be used under ``jit`` or ``eval_shape``."""
        config = self.config
        embedding, previous, head, blocks = jax.random.split(jax.random.key(seed), 4)
        table = (config.vocab_size, config.d_model)

        def draw(key: jax.Array) -> jax.Array:
            return jax.random.normal(key, table, jnp.float32) * config.d_model**-0.5

        def block(key: jax.Array) -> Any:
            module = Block(config, self.lora, nnx.Rngs(params=key))
            return nnx.to_pure_dict(nnx.state(module, nnx.Param))

        params: Params = {"embedding": draw(embedding)}
        if config.previous_token:
            params["previous_embedding"] = draw(previous)
        if not config.tied:
            params["head"] = draw(head)
        params["blocks"] = jax.vmap(block)(jax.random.split(blocks, config.layers))
        first = jnp.zeros if config.norm_plus_one else jnp.ones
        params["final_norm"] = {"scale": first((config.d_model,), jnp.float32)}
        return params

    def hidden(
        self,
        params: Params,
        tokens: jax.Array,
        segments: jax.Array,
        positions: jax.Array,
        dtype: jnp.dtype,
    ) -> jax.Array:
        """The normalised last hidden states of packed rows.

        Args:
            params: Parameters.
            tokens: int32[batch, length].
            segments: int32[batch, length]; tokens see only their own segment.
            positions: int32[batch, length]; position within the segment.
            dtype: Type of the computation.

        Returns:
            dtype[batch, length, d_model].
        """
        execution = self.execution

        def look(
            window: jax.Array, query: jax.Array, key: jax.Array, value: jax.Array
        ) -> tuple[jax.Array, None]:
            kind, mesh = execution.attention, execution.mesh
            attended = attend(
                query, key, value, segments, window, config=self.config, kind=kind, mesh=mesh
            )
            return attended, None

        x = self.embed(params, tokens, before(tokens, positions), dtype)
        x, _ = self.walk(params["blocks"], x, positions, look, self.windows(tokens.shape[1]))
        return self.final(params, x)

    def walk(
        self,
        blocks: Any,
        x: jax.Array,
        positions: jax.Array,
        attend: Callable[[Any, jax.Array, jax.Array, jax.Array], tuple[jax.Array, Any]],
        states: Any,
    ) -> tuple[jax.Array, Any]:
        """Through all blocks.

        Args:
            blocks: Their parameters: stacked, and then scanned; or a list with one entry a
                layer, and then one after another, for layers whose states differ in shape.
            x: [batch, length, d_model].
            positions: int32[batch, length].
            attend: Takes a layer's state and then what a block's ``attend`` takes, see
                :class:`~tunix_jax.models.block.Block`; returns its new state as what is
                carried on.
            states: What belongs to each layer; stacked or a list, as the blocks are.

        Returns:
            As ``x``, and the new states, stacked or a list.
        """
        mesh = self.execution.mesh

        def layer(x: jax.Array, scanned: Any) -> tuple[jax.Array, Any]:
            params, frequencies, state = scanned
            block = self.block(params)
            x, state = block(x, positions, frequencies, partial(attend, state))
            return constrain_rows(x, mesh), state

        x = constrain_rows(x, mesh)
        layers = (blocks, self.frequencies(), states)
        if isinstance(blocks, list):
            carried = []
            for own in zip(*layers, strict=True):
                x, state = layer(x, own)
                carried.append(state)
            return x, carried
        return jax.lax.scan(
            _rematerialised(layer, self.execution), x, layers, unroll=self.execution.unroll
        )

    def embed(
        self, params: Params, tokens: jax.Array, previous: jax.Array, dtype: jnp.dtype
    ) -> jax.Array:
        """Embeddings of tokens and, where the config says so, of the tokens before them.

        Args:
            params: Parameters.
            tokens: int32[batch, length].
            previous: int32[batch, length]; see :func:`before`.
            dtype: Type of the result [batch, length, d_model].
        """
        mesh = self.execution.mesh
        x = look_up(params["embedding"], tokens, dtype, mesh)
        if self.config.previous_token:
            x = x + look_up(params["previous_embedding"], previous, dtype, mesh)
        if self.config.embedding_scale:
            x = x * jnp.asarray(self.config.d_model**0.5, dtype)
        return x

    def final(self, params: Params, x: jax.Array) -> jax.Array:
        """The last norm of [..., d_model]."""
        norm = RMSNorm(self.config.d_model, self.config)
        norm.scale[...] = params["final_norm"]["scale"]
        return norm(x)

    def table(self, params: Params) -> jax.Array:
        """The head's matrix, [vocab_size, d_model]."""
        head: jax.Array = params["embedding" if self.config.tied else "head"]
        return head

    def logits(self, params: Params, hidden: jax.Array) -> jax.Array:
        """float32[..., vocab_size] from hidden states [..., d_model]."""
        table = self.table(params).astype(hidden.dtype)
        logits = jnp.einsum("...d,vd->...v", hidden, table, preferred_element_type=jnp.float32)
        cap = self.config.logit_softcap
        return logits if cap is None else cap * jnp.tanh(logits / cap)

    def block(self, params: Params) -> Block:
        """The module of one block's parameters; cheap, done while tracing."""
        state = nnx.State(jax.tree.map(nnx.Param, params))
        block: Block = nnx.merge(self._block_graph, state)
        return block

    @cached_property
    def _block_graph(self) -> Any:
        abstract = nnx.eval_shape(lambda: Block(self.config, self.lora, nnx.Rngs(params=0)))
        return nnx.graphdef(abstract)

    def windows(self, length: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        """How far back each layer sees in rows of ``length`` tokens, int32[layers]."""
        return np.asarray([window or length for window in self.config.windows], np.int32)

    def frequencies(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Rotary frequencies of every layer in radians per token, float32[layers, head_dim / 2]."""
        config = self.config
        whole = rotary_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
        if config.local_rope_theta is None:
            local = whole
        else:
            local = rotary_frequencies(config.head_dim, config.local_rope_theta, None)
        return np.stack([whole if window is None else local for window in config.windows])


def before(tokens: jax.Array, positions: jax.Array) -> jax.Array:
    """The token before each token of its segment, int32[batch, length]; 0 before the first."""
    shifted = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)))
    return jnp.where(positions > 0, shifted, 0)


def _rematerialised(layer: Callable[..., Any], execution: Execution) -> Callable[..., Any]:
    if execution.remat == "none":
        return layer
    policy = {
        "dots": checkpoint_policies.dots_with_no_batch_dims_saveable,
        "full": checkpoint_policies.nothing_saveable,
    }[execution.remat]
    # Within a scan nothing can be merged across iterations; unrolled, it must not be.
    return jax.checkpoint(layer, policy=policy, prevent_cse=execution.unroll > 1)
