"""Shapes that have a name: small ones for training from scratch, and those of known families."""

from __future__ import annotations

from attrs import frozen

from tunix_jax.models.decoder_config import DecoderConfig, RopeScaling


@frozen
class Shape:
    """A named shape.

    Args:
        decoder: The shape; a ``vocab_size`` of 0 is set by the tokenizer.
        repository: Where pretrained weights of this shape lie on the Hugging Face Hub; None for
            shapes that are trained from scratch.
    """

    decoder: DecoderConfig
    repository: str | None = None


def _scratch(layers: int, d_model: int, heads: int, kv_heads: int, d_ff: int) -> Shape:
    return Shape(
        DecoderConfig(
            vocab_size=0,
            layers=layers,
            d_model=d_model,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=d_model // heads,
            d_ff=d_ff,
            embedding_scale=True,
            qk_norm=True,
            previous_token=True,
        )
    )


def _gemma2(
    size: str, layers: int, d_model: int, heads: int, kv_heads: int, d_ff: int, scale: float
) -> Shape:
    return Shape(
        DecoderConfig(
            vocab_size=256_000,
            layers=layers,
            d_model=d_model,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=256,
            d_ff=d_ff,
            activation="gelu_tanh",
            norm_plus_one=True,
            post_norms=True,
            attention_scale=scale**-0.5,
            attention_softcap=50.0,
            logit_softcap=30.0,
            embedding_scale=True,
            window=4096,
            windowed=(True, False),
        ),
        f"google/gemma-2-{size}-it",
    )


def _gemma3(
    size: str,
    layers: int,
    d_model: int,
    heads: int,
    kv_heads: int,
    d_ff: int,
    vocab_size: int = 262_144,
    window: int = 512,
    rope_scaling: RopeScaling | None = None,
) -> Shape:
    return Shape(
        DecoderConfig(
            vocab_size=vocab_size,
            layers=layers,
            d_model=d_model,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=256,
            d_ff=d_ff,
            activation="gelu_tanh",
            norm_plus_one=True,
            post_norms=True,
            qk_norm=True,
            attention_scale=256**-0.5,
            embedding_scale=True,
            rope_theta=1_000_000.0,
            rope_scaling=rope_scaling,
            local_rope_theta=10_000.0,
            window=window,
            windowed=(True, True, True, True, True, False),
        ),
        f"google/gemma-3-{size}-it",
    )


def _llama3(
    name: str,
    layers: int,
    d_model: int,
    heads: int,
    head_dim: int,
    d_ff: int,
    factor: float,
    tied: bool,
) -> Shape:
    return Shape(
        DecoderConfig(
            vocab_size=128_256,
            layers=layers,
            d_model=d_model,
            heads=heads,
            kv_heads=8,
            head_dim=head_dim,
            d_ff=d_ff,
            norm_eps=1e-5,
            tied=tied,
            rope_theta=500_000.0,
            rope_scaling=RopeScaling("llama3", factor),
        ),
        f"meta-llama/{name}-Instruct",
    )


def _qwen2(
    size: str, layers: int, d_model: int, heads: int, kv_heads: int, head_dim: int, d_ff: int
) -> Shape:
    return Shape(
        DecoderConfig(
            vocab_size=151_936,
            layers=layers,
            d_model=d_model,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            d_ff=d_ff,
            attention_bias=True,
            rope_theta=1_000_000.0,
        ),
        f"Qwen/Qwen2.5-{size}-Instruct",
    )


def _qwen3(size: str, layers: int, d_model: int, heads: int, d_ff: int) -> Shape:
    return Shape(
        DecoderConfig(
            vocab_size=151_936,
            layers=layers,
            d_model=d_model,
            heads=heads,
            kv_heads=8,
            head_dim=128,
            d_ff=d_ff,
            qk_norm=True,
            rope_theta=1_000_000.0,
        ),
        f"Qwen/Qwen3-{size}",
    )


SHAPES = {
    "tiny": _scratch(2, 32, 2, 1, 64),
    "small": _scratch(4, 128, 4, 4, 384),
    "gemma-2-2b": _gemma2("2b", 26, 2304, 8, 4, 9216, 256.0),
    "gemma-2-9b": _gemma2("9b", 42, 3584, 16, 8, 14_336, 256.0),
    "gemma-3-270m": _gemma3("270m", 18, 640, 4, 1, 2048),
    "gemma-3-1b": _gemma3("1b", 26, 1152, 4, 1, 6912),
    "gemma-3-4b": _gemma3("4b", 34, 2560, 8, 4, 10_240, 262_208, 1024, RopeScaling("linear", 8.0)),
    "llama-3.2-1b": _llama3("Llama-3.2-1B", 16, 2048, 32, 64, 8192, 32.0, tied=True),
    "llama-3.2-3b": _llama3("Llama-3.2-3B", 28, 3072, 24, 128, 8192, 32.0, tied=True),
    "llama-3.1-8b": _llama3("Llama-3.1-8B", 32, 4096, 32, 128, 14_336, 8.0, tied=False),
    "qwen2.5-0.5b": _qwen2("0.5B", 24, 896, 14, 2, 64, 4864),
    "qwen2.5-1.5b": _qwen2("1.5B", 28, 1536, 12, 2, 128, 8960),
    "qwen3-0.6b": _qwen3("0.6B", 28, 1024, 16, 3072),
    "qwen3-1.7b": _qwen3("1.7B", 28, 2048, 16, 6144),
}
