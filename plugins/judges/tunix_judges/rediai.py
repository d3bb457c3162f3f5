"""RediAI's text generation over HTTP."""

from __future__ import annotations

import weakref

import httpx2

from tunix_core.errors import TunixError

TIMEOUT_S = 30.0


class Rediai:
    """One connection to RediAI, kept for as long as this object is.

    Args:
        base_url: Its address.
    """

    def __init__(self, base_url: str) -> None:
        self._url = f"{base_url.rstrip('/')}/generate"
        self._client = httpx2.Client(timeout=TIMEOUT_S)
        # Whoever holds this object is not told when the last item was judged.
        weakref.finalize(self, self._client.close)

    def generate(self, model: str, prompt: str, max_tokens: int) -> str:
        """The likeliest continuation of a prompt.

        Args:
            model: Name of a model that RediAI knows.
            prompt: The text to be continued.
            max_tokens: At most so many tokens.

        Raises:
            TunixError: RediAI does not answer, or not as it should.
        """
        request = {"model": model, "prompt": prompt, "temperature": 0.0, "max_tokens": max_tokens}
        try:
            response = self._client.post(self._url, json=request)
            response.raise_for_status()
            answer = response.json()
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise TunixError(
                f"RediAI gives no answer: {str(error) or type(error).__name__}",
                f"is it running at {self._url}? set REDIAI_BASE_URL",
            ) from error
        except ValueError as error:
            raise self._not_rediai() from error
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            raise self._not_rediai()
        return str(answer["text"])

    def _not_rediai(self) -> TunixError:
        return TunixError(
            f"{self._url} does not answer as RediAI does", "set REDIAI_BASE_URL to its address"
        )
