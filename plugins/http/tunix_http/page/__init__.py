"""The web page: server-rendered, every page also as JSON, on the API's own port."""

from __future__ import annotations

from starlette.routing import BaseRoute

from tunix_http.page import assets
from tunix_http.page.views import (
    datasets,
    docs,
    evaluations,
    models,
    overview,
    plugins,
    regressions,
    run_form,
    runs,
    traces,
    tuning,
)

__all__ = ["routes"]


def routes() -> list[BaseRoute]:
    """Every route of the page; the fixed names come before the ones with a part to fill in."""
    pages = [
        *overview.PAGES,
        *traces.PAGES,
        *datasets.PAGES,
        run_form.PAGE,
        *runs.PAGES,
        *evaluations.PAGES,
        *regressions.PAGES,
        *tuning.PAGES,
        *models.PAGES,
        *plugins.PAGES,
    ]
    shown: list[BaseRoute] = [route for page in pages for route in page.routes()]
    return [*run_form.ROUTES, *shown, *docs.ROUTES, *assets.routes()]
