"""All objectives by the name that the setting ``objective`` gives them."""

from __future__ import annotations

from collections.abc import Mapping

from tunix_jax.objectives.objective import Objective
from tunix_jax.objectives.sft import Sft

OBJECTIVES: Mapping[str, Objective] = {"sft": Sft()}
