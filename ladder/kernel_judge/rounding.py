"""Numbers in the precisions of a GPU: bfloat16, float16, float8 and TF32, on NumPy arrays.

Rounding is to nearest, ties to even. Values of narrow types travel as float32.
"""

from __future__ import annotations

import numpy as np

FP8 = {  # Triton's name: (exponent bits, mantissa bits, bias, has infinities, largest)
    "fp8e5": (5, 2, 15, True, 57344.0),
    "fp8e4nv": (4, 3, 7, False, 448.0),
    "fp8e5b16": (5, 2, 16, False, 57344.0),
    "fp8e4b8": (4, 3, 8, False, 240.0),
    "fp8e4b15": (4, 3, 15, False, 1.75),
}
FNUZ = ("fp8e5b16", "fp8e4b8")


def bf16_to_float32(bits: np.ndarray) -> np.ndarray:
    """The values of bfloat16 ``bits`` (uint16)."""
    return (np.asarray(bits, np.uint16).astype(np.uint32) << 16).view(np.float32)


def float32_to_bf16(values: np.ndarray, toward_zero: bool = False) -> np.ndarray:
    """The bits (uint16) of the bfloat16 numbers nearest to float32 ``values``; NaN stays NaN."""
    values = np.ascontiguousarray(values, np.float32)
    bits = values.view(np.uint32)
    if not toward_zero:
        bits = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    return np.where(np.isnan(values), np.uint16(0x7FC0), (bits >> np.uint32(16)).astype(np.uint16))


def tf32(values: np.ndarray) -> np.ndarray:
    """float32 ``values`` with 10 bits of mantissa, which is what TF32 tensor cores multiply."""
    values = np.ascontiguousarray(values, np.float32)
    bits = values.view(np.uint32)
    rounded = (bits + (np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1)))) & np.uint32(0xFFFFE000)
    return np.where(np.isfinite(values), rounded.view(np.float32), values)


def _fp8_table(name: str) -> np.ndarray:
    exponent_bits, mantissa_bits, bias, infinite, _ = FP8[name]
    codes = np.arange(256)
    exponent = (codes >> mantissa_bits) & (2**exponent_bits - 1)
    mantissa = codes & (2**mantissa_bits - 1)
    fraction = mantissa / 2**mantissa_bits
    values = np.where(exponent == 0, fraction * 2.0 ** (1 - bias), (1 + fraction) * 2.0 ** (exponent - bias))
    values = np.where(codes >= 128, -values, values)
    if name in FNUZ:
        values[128] = np.nan
    elif infinite:
        top = exponent == 2**exponent_bits - 1
        values = np.where(top, np.where(mantissa == 0, np.where(codes >= 128, -np.inf, np.inf), np.nan), values)
    else:
        values = np.where((codes & 127) == 127, np.nan, values)
    return values.astype(np.float32)


_tables: dict[str, np.ndarray] = {}


def fp8_to_float32(bits: np.ndarray, name: str) -> np.ndarray:
    """The values of float8 ``bits`` (uint8) of the type that Triton calls ``name``."""
    if name not in _tables:
        _tables[name] = _fp8_table(name)
    return _tables[name][np.asarray(bits, np.uint8)]


def float32_to_fp8(values: np.ndarray, name: str) -> np.ndarray:
    """The bits (uint8) of the nearest float8 numbers; too large ones saturate, as ``cvt.satfinite`` does."""
    values = np.asarray(values, np.float32)
    largest = FP8[name][4]
    table = fp8_to_float32(np.arange(128, dtype=np.uint8), name).astype(np.float64)
    steps = np.where(np.isfinite(table), table, np.inf)
    magnitude = np.minimum(np.abs(values.astype(np.float64)), largest)
    high = np.clip(np.searchsorted(steps, magnitude), 1, 127)
    low = high - 1
    below, above = magnitude - steps[low], steps[high] - magnitude
    nearer_high = (above < below) | ((above == below) & (high % 2 == 0))
    code = np.where(nearer_high, high, low).astype(np.uint8)
    negative = np.signbit(values) & ((code > 0) if name in FNUZ else np.True_)
    code = np.where(negative, code | np.uint8(0x80), code)
    return np.where(np.isnan(values), np.uint8(0x80 if name in FNUZ else 0x7F), code).astype(np.uint8)
