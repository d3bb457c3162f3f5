"""Which devices JAX sees here; asked in a child, so that this process holds none of them."""

from __future__ import annotations

import subprocess
import sys

from tunix_core.contributions import Finding

WAIT_S = 120
_SCRIPT = "import jax; print(*(f'{d.platform}: {d.device_kind}' for d in jax.devices()))"


def found_devices() -> Finding:
    """The devices by platform and kind, or why there are none."""
    # -P: what lies in the current directory is never run.
    command = [sys.executable, "-P", "-c", _SCRIPT]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    except subprocess.TimeoutExpired:
        return Finding("devices", "bad", f"JAX did not answer within {WAIT_S} s")
    lines = (asked.stdout if asked.returncode == 0 else asked.stderr).strip().splitlines()
    last = lines[-1] if lines else f"JAX ended with exit code {asked.returncode}"
    return Finding("devices", "good" if asked.returncode == 0 else "bad", last)
