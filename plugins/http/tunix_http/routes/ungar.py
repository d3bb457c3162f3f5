"""Card games that are played into traces."""

from __future__ import annotations

from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.responses import Response

from tunix_core import Workspace
from tunix_core.contributions import GAME, GameContribution
from tunix_core.errors import UsageError
from tunix_core.plugins import Provided
from tunix_core.protocols import Game
from tunix_core.records import Trace
from tunix_http.operations import Call, Operations
from tunix_http.streams.lines import NDJSON, lines_response
from tunix_http.wire.ungar import (
    Episode,
    Generated,
    GenerateRequest,
    UngarExportQuery,
    UngarStatus,
)

DUEL = "high-card-duel"
SOURCE = "ungar"
PREVIEWED = 3

operations = Operations("ungar")


@operations.get("/api/ungar/status", "getUngarStatus", returns=UngarStatus)
def status(workspace: Workspace, _call: Call) -> UngarStatus:
    """Say whether the game can be played."""
    provided = _game(workspace)
    if provided is None:
        return UngarStatus(available=False, version=None)
    game: Game = provided.create()
    return UngarStatus(available=True, version=game.version)


@operations.post(
    "/api/ungar/high-card-duel/generate",
    "generateHighCardDuel",
    body=GenerateRequest,
    returns=Generated,
    status=201,
    errors={501: "The game is not installed"},
)
def generate(workspace: Workspace, call: Call) -> Generated:
    """Play episodes and store their traces.

    The same seed gives the same episodes. Without ``persist`` nothing is stored, and the ids
    name nothing.
    """
    wanted: GenerateRequest = call.body
    if _game(workspace) is None:
        raise HTTPException(501, f"{DUEL} is not installed: pip install tunix-ungar")
    traces = workspace.traces.play(DUEL, wanted.count, wanted.seed)
    if wanted.persist:
        with call.services.metrics.observe_write("create_ungar_traces"):
            ids = [stored.id for stored in workspace.traces.create_many(traces)]
    else:
        ids = [str(uuid4()) for _ in traces]
    shown = zip(ids[:PREVIEWED], traces, strict=False)
    return Generated(trace_ids=ids, preview=[_episode(*pair) for pair in shown])


@operations.get(
    "/api/ungar/high-card-duel/export.jsonl",
    "exportHighCardDuel",
    query=UngarExportQuery,
    media_type=NDJSON,
)
async def export(call: Call) -> Response:
    """Traces of the game as lines, newest first, or those asked for in their order."""
    query: UngarExportQuery = call.query
    ids = None if query.trace_ids is None else [str(trace_id) for trace_id in query.trace_ids]
    return await lines_response(
        call.services.open_workspace,
        lambda workspace: workspace.traces.export_lines(
            "trace", trace_ids=ids, filters={"source": SOURCE}, limit=query.limit
        ),
    )


def _game(workspace: Workspace) -> Provided[Game, GameContribution] | None:
    try:
        return workspace.plugins.find(GAME, DUEL)
    except UsageError:
        return None


def _episode(trace_id: str, trace: Trace) -> Episode:
    meta = trace.meta or {}
    return Episode(
        trace_id=trace_id, game=meta["game"], result=meta["result"], my_card=meta["my_card"]
    )
