"""One decoder for every family: RMSNorm, rotary grouped-query attention, gated MLP.

Families differ by :class:`~tunix_jax.models.decoder_config.DecoderConfig`. Parameters are one
nested dict of arrays in which the blocks are stacked, so that they can be scanned; Flax modules
stand for single blocks while a function is traced.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from attrs import frozen
from flax import nnx
from jax.ad_checkpoint import checkpoint_policies
from jax.sharding import Mesh

from tunix_jax.models.attention import attend
from tunix_jax.models.decoder_config import DecoderConfig, Lora, RopeScaling
from tunix_jax.sharding import constrain_rows, look_up

Params = dict[str, Any]
Remat = Literal["none", "dots", "full"]

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "silu": jax.nn.silu,
    "gelu_tanh": jax.nn.gelu,
}


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


class RMSNorm(nnx.Module):
    """Root mean square normalisation with a learned scale (Zhang and Sennrich, 2019)."""

    def __init__(self, width: int, config: DecoderConfig) -> None:
        self.config = config
        first = jnp.zeros if config.norm_plus_one else jnp.ones
        self.scale = nnx.Param(first((width,), jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise the last axis; computed in float32, returned in the type of ``x``."""
        wide = x.astype(jnp.float32)
        mean_square = jnp.mean(wide * wide, axis=-1, keepdims=True)
        wide *= jax.lax.rsqrt(mean_square + self.config.norm_eps)
        factor = self.scale[...].astype(jnp.float32) + float(self.config.norm_plus_one)
        return (wide * factor).astype(x.dtype)


class Projection(nnx.Module):
    """A matrix [inputs, outputs] that computes in its input's type, perhaps with an adapter."""

    def __init__(
        self, inputs: int, outputs: int, rngs: nnx.Rngs, *, bias: bool, rank: int, scale: float
    ) -> None:
        self.lora_scale = scale
        draw = jax.random.normal(rngs.params(), (inputs, outputs), jnp.float32)
        self.weight = nnx.Param(draw * inputs**-0.5)
        if bias:
            self.bias = nnx.Param(jnp.zeros((outputs,), jnp.float32))
        if rank:
            # A draws, B is zero, so that an adapter begins as nothing (Hu et al., 2021).
            draw = jax.random.normal(rngs.params(), (inputs, rank), jnp.float32)
            self.lora_a = nnx.Param(draw * inputs**-0.5)
            self.lora_b = nnx.Param(jnp.zeros((rank, outputs), jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        y = x @ self.weight[...].astype(x.dtype)
        if hasattr(self, "bias"):
            y = y + self.bias[...].astype(x.dtype)
        if hasattr(self, "lora_a"):
            inner = x @ self.lora_a[...].astype(x.dtype)
            y = y + inner @ self.lora_b[...].astype(x.dtype) * self.lora_scale
        return y


class Block(nnx.Module):
    """Attention and MLP, each between norms and with a residual around it."""

    def __init__(self, config: DecoderConfig, lora: Lora | None, rngs: nnx.Rngs) -> None:
        self.config = config
        width, queries = config.d_model, config.heads * config.head_dim
        keys = config.kv_heads * config.head_dim

        def projection(name: str, inputs: int, outputs: int, bias: bool = False) -> Projection:
            rank, scale = (0, 1.0) if lora is None else (lora.rank_of(name), lora.scale)
            return Projection(inputs, outputs, rngs, bias=bias, rank=rank, scale=scale)

        self.attention_norm = RMSNorm(width, config)
        self.query = projection("query", width, queries, config.attention_bias)
        self.key = projection("key", width, keys, config.attention_bias)
        self.value = projection("value", width, keys, config.attention_bias)
        if config.qk_norm:
            self.query_norm = RMSNorm(config.head_dim, config)
            self.key_norm = RMSNorm(config.head_dim, config)
        self.attention_out = projection("attention_out", queries, width)
        self.mlp_norm = RMSNorm(width, config)
        self.gate = projection("gate", width, config.d_ff)
        self.up = projection("up", width, config.d_ff)
        self.down = projection("down", config.d_ff, width)
        if config.post_norms:
            self.post_attention_norm = RMSNorm(width, config)
            self.post_mlp_norm = RMSNorm(width, config)

    def project(
        self, x: jax.Array, positions: jax.Array, frequencies: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Rotated queries and keys, and values.

        Args:
            x: [batch, length, d_model].
            positions: int32[batch, length].
            frequencies: float32[head_dim / 2] of this layer.

        Returns:
            [batch, length, heads, head_dim], and twice [batch, length, kv_heads, head_dim].
        """
        normed = self.attention_norm(x)
        query, key, value = (
            part(normed).reshape(*x.shape[:2], -1, self.config.head_dim)
            for part in (self.query, self.key, self.value)
        )
        if self.config.qk_norm:
            query, key = self.query_norm(query), self.key_norm(key)
        angles = positions[..., None].astype(jnp.float32) * frequencies
        return rotate(query, angles), rotate(key, angles), value

    def finish(self, x: jax.Array, attended: jax.Array) -> jax.Array:
        """Add what attention [batch, length, heads * head_dim] and MLP say to the stream."""
        said = self.attention_out(attended)
        x = x + (self.post_attention_norm(said) if self.config.post_norms else said)
        normed = self.mlp_norm(x)
        activation = _ACTIVATIONS[self.config.activation]
        said = self.down(activation(self.gate(normed)) * self.up(normed))
        return x + (self.post_mlp_norm(said) if self.config.post_norms else said)


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
        config, execution = self.config, self.execution
        length = tokens.shape[1]
        windows = jnp.asarray([window or length for window in config.windows], jnp.int32)

        def layer(x: jax.Array, scanned: Any) -> tuple[jax.Array, None]:
            block_params, frequencies, window = scanned
            block = self.block(block_params)
            query, key, value = block.project(x, positions, frequencies)
            attended = attend(
                query,
                key,
                value,
                segments,
                window,
                config=config,
                kind=execution.attention,
                mesh=execution.mesh,
            )
            return constrain_rows(block.finish(x, attended), execution.mesh), None

        x = self.embed(params, tokens, before(tokens, positions), dtype)
        x, _ = jax.lax.scan(
            _rematerialised(layer, execution),
            constrain_rows(x, execution.mesh),
            (params["blocks"], self.frequencies(), windows),
            unroll=execution.unroll,
        )
        return self.final(params, x)

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

    def frequencies(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Rotary frequencies of every layer in radians per token, float32[layers, head_dim / 2]."""
        config = self.config
        whole = rotary_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
        if config.local_rope_theta is None:
            local = whole
        else:
            local = rotary_frequencies(config.head_dim, config.local_rope_theta, None)
        return np.stack([whole if window is None else local for window in config.windows])


def rotary_frequencies(
    head_dim: int, theta: float, scaling: RopeScaling | None
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Radians per token, float32[head_dim / 2] (Su et al., 2021), stretched by ``scaling``."""
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = (1.0 / np.float32(theta) ** exponents).astype(np.float32)
    if scaling is None:
        return frequencies
    stretched = frequencies / scaling.factor
    if scaling.kind == "linear":
        return stretched.astype(np.float32)
    turns = scaling.original_length * frequencies / (2 * np.pi)
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    share = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return ((1 - share) * stretched + share * frequencies).astype(np.float32)


def rotate(x: jax.Array, angles: jax.Array) -> jax.Array:
    """Rotary position embedding, halves rotated against each other, computed in float32.

    Args:
        x: [batch, length, heads, head_dim].
        angles: float32[batch, length, head_dim / 2] in radians.
    """
    cos, sin = jnp.cos(angles)[:, :, None], jnp.sin(angles)[:, :, None]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


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
