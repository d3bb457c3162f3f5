"""Devices that a step is compiled for: those present, or a TPU slice that is elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from math import prod
from typing import Any

from attrs import frozen

from tunix_core.errors import UsageError
from tunix_jax.chips import Chip, chip_of

_TOPOLOGY = re.compile(r"(v\d+[a-z]?|tpu\d+x):(\d+(?:x\d+){1,2})")
# Without these libtpu looks for a metadata server, and tells standard error that it has none.
_NO_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_LOG_DIR": "disabled",
    # Compiling takes no TPU, so whoever uses one here is not in the way.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@frozen(eq=False)
class Target:
    """Devices to compile for.

    Args:
        name: ``cpu``, ``gpu``, ``tpu``, or a topology such as ``v5e:2x4``.
        devices: JAX devices; those of a topology can be compiled for and nothing else.
        chip: What each of them is; None when that is not known.
        limit_bytes: Memory of each that a program can use; None when that is not known.
    """

    name: str
    devices: tuple[Any, ...]
    chip: Chip | None
    limit_bytes: int | None


def is_topology(name: str | None) -> bool:
    """Whether a name is that of a TPU slice, such as ``v5e:2x4``."""
    return name is not None and _TOPOLOGY.fullmatch(name) is not None


def find_target(name: str | None) -> Target:
    """The devices of a name.

    Args:
        name: ``cpu``, ``gpu``, ``tpu``, a TPU topology, or None for the devices present.

    Raises:
        UsageError: There is no such device, no such topology, or no libtpu to compile for it.
    """
    from tunix_jax.sharding import present_devices

    if is_topology(name):
        assert name is not None  # noqa: S101 - is_topology says so
        devices = _slice(name)
    else:
        if name not in (None, "cpu", "gpu", "tpu"):
            raise UsageError(
                f"unknown topology {name!r}", "give cpu, gpu, or a TPU slice such as v5e:2x4"
            )
        devices = tuple(present_devices(name))
        name = name or devices[0].platform
    chip = chip_of(devices[0].device_kind)
    return Target(name, devices, chip, memory_limit(devices[0]))


def memory_limit(device: Any) -> int | None:
    """Bytes that a program can use on a JAX device, or None when that is not known.

    What the device says of itself; of a CPU, its part of the machine's memory; of a device that
    is elsewhere, what its kind has.
    """
    if device.platform == "cpu":
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return memory // int(device.client.local_device_count())
    try:
        stats = device.memory_stats()
    except (RuntimeError, NotImplementedError):
        stats = None
    if stats and stats.get("bytes_limit"):
        return int(stats["bytes_limit"])
    chip = chip_of(device.device_kind)
    return None if chip is None else chip.memory_bytes


def _slice(name: str) -> tuple[Any, ...]:
    """The compile-only devices of a TPU slice."""
    if find_spec("libtpu") is None:
        raise UsageError(
            f"compiling for {name} needs libtpu", "pip install 'tunix-jax[tpu-compile]'"
        )
    import jax
    from jax.experimental import topologies

    match = _TOPOLOGY.fullmatch(name)
    assert match is not None  # noqa: S101 - is_topology says so
    kind, sides = match[1], [int(side) for side in match[2].split("x")]
    sides += [1] * (3 - len(sides))
    # Flat chips come up to eight, others up to four to a host.
    one_host = prod(sides) <= (8 if kind in ("v5e", "v6e") else 4)
    options: dict[str, Any] = {"chips_per_host_bounds": sides} if one_host else {}
    if kind == "v4":
        # The two cores of a chip as one device, which is how they are used.
        options["chip_config_name"] = "megacore"
    try:
        with _quiet():
            described = topologies.get_topology_desc(name, platform="tpu", **options)
    except jax.errors.JaxRuntimeError as error:
        first = str(error).splitlines()[0].removeprefix("INVALID_ARGUMENT: ")
        raise UsageError(f"no TPU slice {name}: {first}", "such as v5e:2x4 or v5p:2x2x1") from None
    return tuple(described.devices)


@contextmanager
def _quiet() -> Iterator[None]:
    """Tell libtpu that there is no TPU here, unless the environment tells it otherwise."""
    added = {key: value for key, value in _NO_TPU.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)
