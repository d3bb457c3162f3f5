"""``tunix-rt fit``: what a run would take, before anything is spent on it."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from tunix_core.cli._common import pass_workspace, settings_option
from tunix_core.cli._output import emit, json_option, print_table, say
from tunix_core.errors import UsageError
from tunix_core.workspace import Workspace
from tunix_jax.targets import is_topology

if TYPE_CHECKING:
    from tunix_jax.fit import FitReport, FitRequest
    from tunix_jax.fit_changes import Change

# Options that are settings of the trainer under a shorter name.
_NAMES = {"batch": "rows", "seq": "max_length"}
