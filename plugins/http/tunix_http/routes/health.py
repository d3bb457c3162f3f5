"""Whether the server is up, whether RediAI is, and figures for Prometheus."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from tunix_core import Workspace
from tunix_http.monitoring.prometheus import CONTENT_TYPE, RUN_BUCKETS_S
from tunix_http.operations import JSON, Call, Operations
from tunix_http.wire.health import Health, RediHealth

HEALTHY = b'{"status":"healthy"}'

operations = Operations("health")


@operations.get("/api/health", "getApiHealth", returns=Health)
async def health(_call: Call) -> Response:
    """Say that the server is up; nothing else is looked at."""
    return Response(HEALTHY, media_type=JSON)


@operations.get("/api/redi/health", "getRediHealth", returns=RediHealth)
async def redi_health(call: Call) -> Response:
    """Say whether RediAI is up; the answer is remembered for a while."""
    return JSONResponse(await call.services.rediai.check())


@operations.get("/metrics", "getMetrics", media_type=CONTENT_TYPE)
def metrics(workspace: Workspace, call: Call) -> Response:
    """Figures of the server and its runs, as Prometheus reads them."""
    totals = workspace.runs.totals(RUN_BUCKETS_S)
    return Response(call.services.metrics.exposition(totals), media_type=CONTENT_TYPE)
