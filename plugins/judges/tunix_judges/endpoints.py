"""What a prompt is sent to: chat completions as OpenAI defined them, and RediAI."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol

from attrs import frozen

from tunix_core.errors import TunixError, UsageError
from tunix_judges.client import JsonClient, Patience, Service
from tunix_judges.config import JudgeConfig, RediaiConfig

REDIAI_MODEL = "gemma-judge-v1"
REDIAI_MAX_TOKENS = 512


@frozen
class Reply:
    """What a model said.

    Args:
        text: The reply; empty where it refused.
        cut: Whether it was cut at its greatest length.
        model: Who replied, as the endpoint names it.
        refusal: Why it said nothing, or None.
    """

    text: str
    cut: bool = False
    model: str | None = None
    refusal: str | None = None


class Endpoint(Protocol):
    """A model that may be asked; may be used by several threads."""

    @property
    def url(self) -> str: ...

    def request(self, prompt: str) -> Mapping[str, Any]:
        """What is sent for a prompt; with the address, all that a reply depends on."""
        ...

    def ask(self, request: Mapping[str, Any]) -> Reply:
        """Send it.

        Raises:
            RequestRefusedError: This request is refused.
            TunixError: There is no endpoint, or it answers to nobody.
        """
        ...


class ChatEndpoint:
    """Chat completions below some address.

    Args:
        config: The endpoint, the model and its parameters.

    Raises:
        UsageError: No model is named, or the variable for the key is not set.
    """

    def __init__(self, config: JudgeConfig) -> None:
        if not config.model:
            raise UsageError("the judge has no model", "set model or TUNIX_JUDGE_MODEL")
        self.url = f"{config.base_url.rstrip('/')}/chat/completions"
        variable = config.api_key_env
        service = Service(
            name="the judge's endpoint",
            url=self.url,
            where="check base_url and model",
            key=f"put a valid key into {variable}"
            if variable
            else "name the variable that holds the key by api_key_env",
            api_key=_key(variable) if variable else None,
        )
        patience = Patience(config.retries, config.backoff_s, config.timeout_s)
        self._client = JsonClient(service, patience)
        chosen = {"temperature": config.temperature, "max_tokens": config.max_tokens}
        given = {name: value for name, value in chosen.items() if value is not None}
        self._parameters = {"model": config.model, **given, **config.parameters}

    def request(self, prompt: str) -> Mapping[str, Any]:
        return {"messages": [{"role": "user", "content": prompt}], **self._parameters}

    def ask(self, request: Mapping[str, Any]) -> Reply:
        answer = self._client.post(request)
        try:
            choice = answer["choices"][0]
            content, refusal = choice["message"]["content"], choice["message"].get("refusal")
            reason = choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise self._client.no_service() from None
        if content is not None and not isinstance(content, str):
            raise self._client.no_service()
        if not content:
            refusal = refusal or f"it said nothing (finish_reason {reason})"
        model = answer.get("model")
        return Reply(
            text=_whole(content or ""),
            cut=reason == "length",
            model=model if isinstance(model, str) else None,
            refusal=None if refusal is None else _whole(str(refusal)),
        )


class RediaiEndpoint:
    """RediAI's text generation.

    Args:
        config: Where it is.
    """

    def __init__(self, config: RediaiConfig) -> None:
        self.url = f"{config.base_url.rstrip('/')}/generate"
        self._mode = config.mode
        where = "set REDIAI_BASE_URL to its address"
        self._client = JsonClient(Service("RediAI", self.url, where, where), Patience())

    def request(self, prompt: str) -> Mapping[str, Any]:
        return {
            "model": REDIAI_MODEL,
            "prompt": prompt,
            "temperature": 0.0,
            "max_tokens": REDIAI_MAX_TOKENS,
        }

    def ask(self, request: Mapping[str, Any]) -> Reply:
        if self._mode != "real":
            raise TunixError(
                "gemma-judge needs RediAI, and REDIAI_MODE is mock",
                "set REDIAI_MODE=real and REDIAI_BASE_URL, or judge by answer_correctness",
            )
        answer = self._client.post(request)
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            raise self._client.no_service()
        return Reply(_whole(answer["text"]))


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"the environment variable {variable} is not set", "it holds the API key")
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"{variable} holds no API key", "a key is of printable ASCII")
    return key


def _whole(text: str) -> str:
    # JSON can say half a character, which no file can hold.
    return text.encode("utf-8", "replace").decode()
