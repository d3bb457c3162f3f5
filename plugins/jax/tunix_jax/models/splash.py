"""Attention by the splash kernel for TPUs, which skips blocks that the mask rules out."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import (
    BlockSizes,
    CausalMask,
    LocalMask,
    Mask,
    MultiHeadMask,
    SegmentIds,
    make_splash_mha_single_device,
)

from tunix_jax.models.decoder_config import DecoderConfig

# The kernel works on whole tiles of 128 lanes.
_LANES = 128
# Large enough to keep the matrix units busy, small enough for a core's fast memory.
_LARGEST_BLOCK = 512


def splash_can(length: int, head_dim: int) -> bool:
    """Whether the kernel takes rows of this length and heads of this width."""
    return length % _LANES == 0 and head_dim % _LANES == 0


def attend_splash(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    segments: jax.Array,
    window: jax.Array,
    *,
    config: DecoderConfig,
    interpret: bool,
) -> jax.Array:
    """Causal attention within segments and the window.

    Args:
        query: [batch, length, heads, head_dim]; the length is a multiple of 128.
        key: [batch, length, kv_heads, head_dim].
        value: As ``key``.
        segments: int32[batch, length].
        window: int32; either the config's window or at least the length.
        config: Scale and softcap of the scores, and which layers have a window.
        interpret: Run without a TPU, slowly.

    Returns:
        [batch, length, heads * head_dim].
    """
    batch, length, heads, width = query.shape
    scaled = (query.astype(jnp.float32) * config.scale).astype(query.dtype)
    by_head = [jnp.swapaxes(x, 1, 2) for x in (scaled, key, value)]

    def run(mask: Mask) -> jax.Array:
        block = next(b for b in (_LARGEST_BLOCK, 256, _LANES) if length % b == 0)
        kernel = make_splash_mha_single_device(
            mask=MultiHeadMask([mask] * heads),
            block_sizes=BlockSizes(*(block,) * 8),
            attn_logits_soft_cap=config.attention_softcap,
            interpret=interpret,
        )
        out: jax.Array = jax.vmap(kernel)(*by_head, segment_ids=SegmentIds(segments, segments))
        return out

    square = (length, length)
    whole = CausalMask(square)
    if config.window is None or config.window >= length:
        out = run(whole)
    else:
        local = LocalMask(square, (config.window - 1, 0), 0)
        out = jax.lax.cond(window < length, lambda: run(local), lambda: run(whole))
    return jnp.swapaxes(out, 1, 2).reshape(batch, length, heads * width)
