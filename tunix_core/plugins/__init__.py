"""The plugin manager: find, select, load, register, check; then look things up by name."""

from tunix_core.plugins._discovery import Found, Selection
from tunix_core.plugins._manager import PluginRecord, Plugins, Provided, Status

__all__ = ["Found", "PluginRecord", "Plugins", "Provided", "Selection", "Status"]
