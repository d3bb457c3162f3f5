"""The form that starts a run: shown, and acted on when it is sent."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tunix_core import Workspace
from tunix_core.base.settings_text import parse_pairs
from tunix_core.codec import unstructure
from tunix_core.contributions import DEFAULT, TRAINER
from tunix_core.errors import TunixError, UsageError
from tunix_core.plugins import ProvidedTrainer
from tunix_core.records import Run
from tunix_core.rendering import TEMPLATES
from tunix_http.background.services import Services
from tunix_http.page import skin
from tunix_http.page.pages import Data, Page, plain_data
from tunix_http.page.query import Query
from tunix_http.page.views.rows import dataset_keys
from tunix_http.wire.errors import status_of

MAX_FORM_BYTES = 64 * 1024
_ARGUMENT = re.compile(r"^    (\w+): (.*(?:\n        .*)*)", re.MULTILINE)
_FIELDS = ("dataset", "eval_dataset", "trainer", "model", "seed", "settings", "template", "mode")


def form(workspace: Workspace, query: Query) -> Data:
    """The form, filled in from the address."""
    trainers = workspace.plugins.all(TRAINER)
    return {
        "datasets": dataset_keys(workspace),
        "templates": tuple(TEMPLATES),
        "trainers": [_trainer(provided) for provided in trainers],
        "filled": {name: query.text(name) or "" for name in _FIELDS},
        "problem": None,
    }


def start(workspace: Workspace, fields: Mapping[str, str]) -> Run:
    """Create the run that a sent form asks for.

    Raises:
        UsageError: A field cannot be read, or the trainer refuses a setting.
        NotFoundError: No such dataset.
    """
    seed = fields.get("seed", "").strip() or "0"
    if not re.fullmatch(r"-?\d{1,18}", seed):
        raise UsageError(f"the seed must be a whole number, got {seed[:40]!r}")
    if not fields.get("dataset"):
        raise UsageError("no dataset was chosen")
    settings = parse_settings(fields.get("settings", ""))
    if fields.get("model", "").strip():
        settings = {"model_id": fields["model"].strip(), **settings}
    return workspace.runs.create(
        fields["dataset"],
        fields.get("trainer") or DEFAULT,
        settings,
        seed=int(seed),
        template=fields.get("template") or "show_your_work",
        eval_dataset_key=fields.get("eval_dataset") or None,
        mode="dry-run" if fields.get("mode") == "dry-run" else "local",
    )


def parse_settings(text: str) -> dict[str, Any]:
    """``"steps=3\\nmodel_id = tiny"`` to ``{"steps": 3, "model_id": "tiny"}``: one on a line.

    Raises:
        UsageError: A line is not ``key=value``, or a key is given twice.
    """
    lines = filter(None, map(str.strip, text.splitlines()))
    return parse_pairs("=".join(map(str.strip, line.split("=", 1))) for line in lines)


async def sent(request: Request) -> Response:
    """Start the run and go to its page; with something wrong, show the form and say what."""
    services: Services = request.app.state.services
    fields: dict[str, str] = {}
    try:
        fields = await _read(request)
        run = await services.quick.run(start, fields)
    except TunixError as error:
        held = await services.quick.run(plain_data, form, Query({}, tuple(fields.items())))
        return skin.html(request, "run_new.html", held | {"problem": str(error)}, status_of(error))
    return RedirectResponse(f"/runs/{run.id}", 303)


async def _read(request: Request) -> dict[str, str]:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_FORM_BYTES:
            raise UsageError(f"the form exceeds {MAX_FORM_BYTES} bytes")
    try:
        return dict(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=50))
    except ValueError as error:
        raise UsageError(f"the form cannot be read: {error}") from None


def _trainer(provided: ProvidedTrainer) -> dict[str, Any]:
    return {
        "name": provided.full_name,
        "summary": provided.contribution.summary,
        "settings": _settings(provided),
    }


def _settings(provided: ProvidedTrainer) -> list[dict[str, Any]]:
    """The trainer's settings with their defaults, and what its config class says of them."""
    try:
        cls, defaults = provided.config_class(), unstructure(provided.config())
    except TunixError:
        # Chosen all the same, it says why it cannot be used.
        return []
    if cls is None:
        return []
    described = _ARGUMENT.findall(inspect.getdoc(cls) or "")
    said = {name: " ".join(text.split()) for name, text in described}
    return [
        {"name": name, "default": default, "help": said.get(name)}
        for name, default in defaults.items()
    ]


PAGE = Page("/runs/new", "run_new.html", form)
ROUTES: list[BaseRoute] = [Route("/runs/new", sent, methods=["POST"])]
