"""Environments of the peers: each its own, made once, with the versions that were measured."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tunix_core.cli.kit import say

_HERE = Path(__file__).parent
_ENVIRONMENTS = _HERE.parents[1] / ".venv-peers"


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, which is made where it is missing or out of date.

    Args:
        peer: ``google_tunix`` or ``huggingface``: the requirements lie beside this file.
    """
    requirements = _HERE / f"{peer}.txt"
    directory = _ENVIRONMENTS / peer
    python, stamp = directory / "bin" / "python", directory / "installed.txt"
    wanted = f"{sys.version}\n{requirements.read_text()}"
    if not stamp.is_file() or stamp.read_text() != wanted:
        say(f"installing {peer} into {directory} (a few minutes)")
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        # The list is complete; google-tunix asks for more than what is used here, TPU drivers too.
        install = [str(python), "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
        subprocess.run([*install, "--no-deps", "-r", str(requirements)], check=True)
        stamp.write_text(wanted)
    return python
