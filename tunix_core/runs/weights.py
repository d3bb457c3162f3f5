"""Whether the weights of a run are those that its training left."""

from __future__ import annotations

from tunix_core.errors import IntegrityError
from tunix_core.records import Run


def check_weights(run: Run, found: str) -> None:
    """Compare the digest of a run's model with that which was taken when training ended.

    Args:
        run: The run; one that was trained before digests were kept is taken as it is.
        found: Digest of its model as it is now.

    Raises:
        IntegrityError: The model was changed, emptied or exchanged since.
    """
    kept = None if run.result is None else run.result.weights_sha256
    if kept is not None and found != kept:
        raise IntegrityError(
            f"the model of run {run.id} was changed: its files have digest {found[:16]}, training "
            f"left {kept[:16]}",
            "restore it, or execute the run again",
        )
