"""The plugin manager: find, select, load, register, check; then look things up by name."""

from tunix_core.plugins.discovery import Found, Selection
from tunix_core.plugins.loading import PluginRecord, Status
from tunix_core.plugins.lookup import Provided, ProvidedEvaluator, ProvidedTrainer, first_party
from tunix_core.plugins.manager import Plugins

__all__ = [
    "Found",
    "PluginRecord",
    "Plugins",
    "Provided",
    "ProvidedEvaluator",
    "ProvidedTrainer",
    "Selection",
    "Status",
    "first_party",
]
