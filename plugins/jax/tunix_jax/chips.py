"""What accelerators can do, by the name that JAX gives them; imports no JAX."""

from __future__ import annotations

from attrs import frozen

GIB = 2**30


@frozen
class Chip:
    """Peak rates of one device, from the vendor's data sheet.

    Args:
        name: What people call it.
        flops: Dense bfloat16 matrix FLOP/s (float16 for T4, which has no bfloat16 units).
        memory_bytes: Device memory that a program can use; for TPUs what XLA's compiler
            allows, for GPUs the capacity, of which the driver keeps a little.
        memory_bandwidth: Bytes/s between that memory and the compute units.
        link_bandwidth: Bytes/s that can reach the device over all its links to others of its
            kind at once: ICI, NVLink or PCIe, one direction.
    """

    name: str
    flops: float
    memory_bytes: int
    memory_bandwidth: float
    link_bandwidth: float


def _chip(name: str, tflops: float, gib: float, bandwidth: float, link: float) -> Chip:
    return Chip(name, tflops * 1e12, int(gib * GIB), bandwidth * 1e9, link * 1e9)


_V4 = _chip("TPU v4", 275, 30.75, 1228, 300)
_V5E = _chip("TPU v5e", 197, 15.75, 819, 200)
_V5P = _chip("TPU v5p", 459, 95.74, 2765, 600)
_V6E = _chip("TPU v6e", 918, 31.25, 1640, 400)

# Keys are prefixes of `device.device_kind`; the longest that ends at a word's end counts.
CHIPS = {
    "TPU v4": _V4,
    "TPU v5 lite": _V5E,
    "TPU v5e": _V5E,
    "TPU v5": _V5P,
    "TPU v5p": _V5P,
    "TPU v6 lite": _V6E,
    "TPU v6e": _V6E,
    "NVIDIA A100-SXM4-40GB": _chip("A100 40GB", 312, 40, 1555, 300),
    "NVIDIA A100-PCIE-40GB": _chip("A100 40GB PCIe", 312, 40, 1555, 32),
    "NVIDIA A100-SXM4-80GB": _chip("A100 80GB", 312, 80, 2039, 300),
    "NVIDIA A100 80GB PCIe": _chip("A100 80GB PCIe", 312, 80, 1935, 32),
    "NVIDIA H100 80GB HBM3": _chip("H100", 989, 80, 3350, 450),
    "NVIDIA H100 PCIe": _chip("H100 PCIe", 756, 80, 2000, 64),
    "NVIDIA H100 NVL": _chip("H100 NVL", 835, 94, 3900, 300),
    "NVIDIA H200": _chip("H200", 989, 141, 4800, 450),
    "NVIDIA L4": _chip("L4", 121, 24, 300, 32),
    "NVIDIA T4": _chip("T4", 65, 16, 320, 16),
    "Tesla T4": _chip("T4", 65, 16, 320, 16),
}


def chip_of(device_kind: str) -> Chip | None:
    """The chip of a JAX device kind such as ``"TPU v5 lite"``, or None when it is not known."""
    words = f"{device_kind} "
    known = [kind for kind in CHIPS if words.startswith(f"{kind} ")]
    return CHIPS[max(known, key=len)] if known else None
