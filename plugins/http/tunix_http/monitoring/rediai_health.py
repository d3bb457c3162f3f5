"""Whether RediAI answers, asked at most once per time-to-live."""

from __future__ import annotations

import asyncio
import time

from tunix_http.settings import Settings

TIMEOUT_S = 5.0


class RediaiHealth:
    """Asks RediAI for its health and remembers the answer, good or bad.

    Args:
        settings: ``mock`` is always healthy; ``real`` asks ``rediai_health_url``.
    """

    def __init__(self, settings: Settings) -> None:
        self._mode = settings.rediai_mode
        self._url = settings.rediai_health_url
        self._time_to_live_s = settings.rediai_health_cache_ttl_seconds
        self._answer: dict[str, str] = {}
        self._good_until = float("-inf")
        self._asking = asyncio.Lock()

    async def check(self) -> dict[str, str]:
        """``{"status": "healthy"}``, or ``{"status": "down", "error": why}``; never raises."""
        if self._mode == "mock":
            return {"status": "healthy"}
        # Who comes while somebody asks waits for that answer.
        async with self._asking:
            if time.monotonic() >= self._good_until:
                error = await _problem(self._url)
                self._answer = (
                    {"status": "healthy"} if error is None else {"status": "down", "error": error}
                )
                self._good_until = time.monotonic() + self._time_to_live_s
            return dict(self._answer)


async def _problem(url: str) -> str | None:
    """What is wrong with the answer of ``url``; None when it is a good one."""
    # Not needed where RediAI is not used, which is nearly everywhere.
    import httpx2

    try:
        async with asyncio.timeout(TIMEOUT_S), httpx2.AsyncClient(timeout=TIMEOUT_S) as client:
            response = await client.get(url)
    except (TimeoutError, httpx2.TimeoutException):
        return f"Timeout: no answer within {TIMEOUT_S:.0f} s"
    except httpx2.ConnectError:
        return "Connection refused"
    except httpx2.HTTPError as error:
        return f"HTTP error: {type(error).__name__}"
    except Exception as error:
        return f"Unexpected error: {type(error).__name__}"
    return None if response.is_success else f"HTTP {response.status_code}"
