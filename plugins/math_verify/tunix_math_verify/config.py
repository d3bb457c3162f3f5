"""Settings of the evaluator."""

from __future__ import annotations

from attrs import field, frozen, validators


@frozen
class MathVerifyConfig:
    """Settings of math-verify.

    Args:
        time_limit_s: Seconds that one comparison may take; one that takes longer is not right.
        memory_mib: Memory that the process which compares may take.
    """

    time_limit_s: float = field(default=5.0, validator=validators.gt(0))
    memory_mib: int = field(default=4096, validator=validators.ge(512))
