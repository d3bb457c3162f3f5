"""Where judges are and how they are asked; addresses come from the environment unless said."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any, Literal, cast

from attrs import Attribute, field, frozen

Mode = Literal["mock", "real"]


def _mode() -> Mode:
    return cast(Mode, os.environ.get("REDIAI_MODE", "mock"))


def _rediai_url() -> str:
    return os.environ.get("REDIAI_BASE_URL", "http://localhost:8080")


def _judge_url() -> str:
    return os.environ.get("TUNIX_JUDGE_URL", "http://localhost:8000/v1")


def _judge_model() -> str:
    return os.environ.get("TUNIX_JUDGE_MODEL", "")


def _judge_key_env() -> str | None:
    return os.environ.get("TUNIX_JUDGE_KEY_ENV") or None


def _known_mode(_: object, __: Attribute[Mode], value: str) -> None:
    if value not in ("mock", "real"):
        raise ValueError(f"REDIAI_MODE must be mock or real, got {value!r}")


def _http(_: object, attribute: Attribute[str], value: str) -> None:
    name = attribute.metadata.get("variable", attribute.name)
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"{name} must begin with http:// or https://, got {value!r}")
    if "@" in value.split("/", 3)[2]:
        raise ValueError(f"{name} must hold no name and password, since it is stored")


def _from_0(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 <= value < math.inf:
        raise ValueError(f"{attribute.name} must be 0 or more, got {value}")


def _above_0(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 < value < math.inf:
        raise ValueError(f"{attribute.name} must be more than 0, got {value}")


def _samples(config: JudgeConfig, _: Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"samples must be 1 or more, got {value}")
    if value > 1 and config.temperature == 0:
        raise ValueError(f"{value} samples at temperature 0 are one sample; raise the temperature")


@frozen
class RediaiConfig:
    """How to reach RediAI.

    Args:
        mode: ``real`` asks it; ``mock`` says that there is none. ``REDIAI_MODE`` by default.
        base_url: Its address. ``REDIAI_BASE_URL`` by default.
    """

    mode: Mode = field(factory=_mode, validator=_known_mode)
    base_url: str = field(
        factory=_rediai_url, validator=_http, metadata={"variable": "REDIAI_BASE_URL"}
    )


@frozen
class JudgeConfig:
    """A model behind an endpoint that speaks OpenAI's chat completions.

    Args:
        base_url: What ``/chat/completions`` is appended to. ``TUNIX_JUDGE_URL`` by default.
        model: The model's name there. ``TUNIX_JUDGE_MODEL`` by default.
        api_key_env: The environment variable that holds the API key, which is not stored; null
            sends none. ``TUNIX_JUDGE_KEY_ENV`` by default.
        rubric: File of the rubric; null takes that of this distribution.
        temperature: Null leaves it to the endpoint.
        samples: Replies to every prompt; their mean counts.
        max_tokens: Length of a reply at most; null leaves it to the endpoint.
        parameters: Further fields of each request, such as ``{"top_p": 0.9}``.
        ask_again: Ask anew what is in the cache already.
        concurrency: Items that are judged at the same time.
        retries: How often a request is made again that found the endpoint busy or broken.
        backoff_s: Wait before the first retry; it doubles with each, unless the endpoint says.
        timeout_s: Wait for an answer.
    """

    base_url: str = field(factory=_judge_url, validator=_http)
    model: str = field(factory=_judge_model)
    api_key_env: str | None = field(factory=_judge_key_env)
    rubric: str | None = None
    temperature: float | None = field(default=0.0, validator=_from_0)
    samples: int = field(default=1, validator=_samples)
    max_tokens: int | None = field(default=4096, validator=_above_0)
    parameters: Mapping[str, Any] = field(factory=dict)
    ask_again: bool = False
    concurrency: int = field(default=4, validator=_above_0)
    retries: int = field(default=5, validator=_from_0)
    backoff_s: float = field(default=1.0, validator=_above_0)
    timeout_s: float = field(default=120.0, validator=_above_0)
