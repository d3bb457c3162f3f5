"""Extension points of the HTTP surface.

A plugin implements them with ``@hookimpl(optionalhook=True)``, so that it stays valid where the
HTTP surface is not installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tunix_core.hookspecs import hookspec

if TYPE_CHECKING:
    from tunix_http.contributions import RouteContribution
    from tunix_http.panels import PanelContribution


@hookspec
def tunix_http_routes() -> Iterable[RouteContribution]:  # type: ignore[empty-body]
    """Groups of operations below ``/api/<distribution>/``.

    Example::

        @hookimpl(optionalhook=True)
        def tunix_http_routes():
            from tunix_http.contributions import RouteContribution

            return [RouteContribution(factory="acme.routes:operations")]
    """


@hookspec
def tunix_http_panels() -> Iterable[PanelContribution]:  # type: ignore[empty-body]
    """Panels on the web page; they give data, and the page draws it.

    Example::

        @hookimpl(optionalhook=True)
        def tunix_http_panels():
            from tunix_http.panels import PanelContribution

            return [
                PanelContribution(
                    name="queue",
                    title="Queue",
                    page="overview",
                    factory="acme.panels:queue",
                )
            ]
    """
