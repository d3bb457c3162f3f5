"""What a comparison of pairs finds, as a loss: above zero is worse, whichever values are better."""

from __future__ import annotations

import math

from attrs import frozen

POWER = 0.8


@frozen
class Loss:
    """The mean loss over pairs, and what chance allows.

    Args:
        mean: By how much the candidate is worse.
        low: Lower end of the interval of the true loss.
        high: Upper end of the interval of the true loss.
        p_value: Two-sided, of a true loss of exactly the tolerance. None where pairs are too few
            to reject anything.
        detectable: The smallest true loss that is found beyond the tolerance with a power of
            80 %; None where no possible loss is.
    """

    mean: float
    low: float
    high: float
    p_value: float | None
    detectable: float | None


def fewest_pairs(confidence: float) -> int:
    """Fewer pairs reject nothing, even if all of them change one way (sign test)."""
    return math.ceil(math.log2(2 / (1 - confidence)))
