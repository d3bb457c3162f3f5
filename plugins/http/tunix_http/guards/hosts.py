"""Which ``Host`` and ``Origin`` a request may name; what keeps other web sites out.

A browser tells the truth in both. A page of another site cannot name a host of ours, even when its
own name points at this machine (DNS rebinding), and cannot hide that it is the origin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/?#@\\\s]+)(?::\d{1,5})?")


class AllowedHosts:
    """The exact check of ``Host``.

    Args:
        bound: The host that the server listens on.
        allowed: Further hosts; one with a port has to match with its port.
    """

    def __init__(self, bound: str, allowed: Iterable[str]) -> None:
        self._names = {*LOOPBACK_NAMES, _bracketed(bound), *(name.lower() for name in allowed)}
        self._known: set[tuple[bytes, str]] = set()

    def includes(self, host: bytes, address: str) -> bool:
        """Whether a request may name ``host``.

        Args:
            host: The header's value.
            address: The address of ours that the request came to. It is no name that somebody
                else could point at us, so it may be named, which a server on all addresses needs.
        """
        if (host, address) in self._known:
            return True
        value = host.decode("latin-1").lower()
        match = _HOST.fullmatch(value)
        if match is None or not {value, match[1]} & {*self._names, _bracketed(address)}:
            return False
        # Only what is allowed is remembered; strangers cannot fill the memory.
        if len(self._known) < 1000:
            self._known.add((host, address))
        return True


def same_origin(origin: bytes, host: bytes) -> bool:
    """Whether ``origin`` is the host that was asked itself; TLS may end in a proxy before us."""
    return origin in (b"http://" + host, b"https://" + host)


def _bracketed(host: str) -> str:
    """A host as ``Host`` spells it: an IPv6 address stands in brackets."""
    return f"[{host.lower()}]" if ":" in host else host.lower()
