"""Observations as plain data, the only thing that crosses from a learner's process to the judge.

Encoded values are JSON; arrays travel as base64 of their raw little-endian bytes. Decoding trusts
nothing: dtypes come from a short list, sizes must agree with the bytes, depth and total size are
limited, and anything else is refused with a reason. Nothing is ever unpickled.
"""

from __future__ import annotations

import base64
import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from ladder.errors import WireError

MAX_BYTES = 32 * 2**20
MAX_DEPTH = 12
MAX_ITEMS = 100_000
MAX_TEXT = 100_000
MAX_BITS = 12_000  # of an integer; Python itself prints at most 4,300 digits

DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
)
# PyTorch's further floating types, and the type that holds their values here.
HELD_AS = {"bfloat16": "float32", "complex32": "complex64"}


@dataclass(frozen=True, eq=False)
class Array:
    """Numbers with the precision they were computed in (bfloat16 values are held as float32)."""

    values: np.ndarray
    precision: str


def encode(value: Any) -> Any:
    """Turn plain data into JSON; raise :class:`WireError` for anything that is not plain data."""
    return _Encoder().encode(value, 0)


def decode(document: Any) -> Any:
    """Turn JSON made by :func:`encode` back into scalars, strings, lists, dicts and arrays."""
    return _Decoder().decode(document, 0)


class _Budget:
    def __init__(self) -> None:
        self.bytes = MAX_BYTES
        self.items = MAX_ITEMS

    def spend(self, n_bytes: int = 0, items: int = 1) -> None:
        self.bytes -= n_bytes
        self.items -= items
        if self.bytes < 0:
            raise WireError(f"the value is larger than {MAX_BYTES // 2**20} MiB")
        if self.items < 0:
            raise WireError(f"the value has more than {MAX_ITEMS:,} parts")


class _Encoder(_Budget):
    def encode(self, value: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise WireError(f"the value is nested more than {MAX_DEPTH} deep")
        self.spend()
        if isinstance(value, str):  # before np.generic, which np.str_ also is
            return self._str(str(value))
        if isinstance(value, np.generic):
            value = np.asarray(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return _int(int(value))
        if isinstance(value, float):
            value = float(value)
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, (list, tuple)):
            return {"list": [self.encode(item, depth + 1) for item in value]}
        if isinstance(value, (set, frozenset)):
            return {"list": [self.encode(item, depth + 1) for item in _in_order(value)]}
        if isinstance(value, dict):
            return {"dict": [[self.encode(_bare(k), depth + 1), self.encode(v, depth + 1)]
                             for k, v in value.items()]}
        array, precision = _as_array(value)
        self.spend(array.nbytes, 0)
        return {"array": {
            "dtype": array.dtype.name,
            "precision": precision,
            "shape": list(array.shape),
            "data": base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode(),
        }}

    def _str(self, value: str) -> str:
        if len(value) > MAX_TEXT:
            raise WireError(f"the text is longer than {MAX_TEXT:,} characters")
        value = value.encode("utf-8", "backslashreplace").decode()  # lone surrogates break files
        self.spend(len(value), 0)
        return value


def _int(value: int) -> Any:
    if value.bit_length() > MAX_BITS:
        raise WireError(f"the integer has more than {MAX_BITS:,} bits")
    return value if abs(value) < 2**53 else {"int": str(value)}


def _bare(key: Any) -> Any:
    """A NumPy number as a key means the Python number it equals."""
    return key.item() if isinstance(key, np.generic) else key


def _in_order(items: Any) -> list:
    """The items of a set in an order that does not depend on how they are held."""
    bare = [tuple(_in_order(item)) if isinstance(item, frozenset) else _bare(item)
            for item in items]
    try:
        return sorted(bare)
    except TypeError:
        return sorted(bare, key=repr)


def _as_array(value: Any) -> tuple[np.ndarray, str]:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        try:
            return _from_torch(value, torch)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise WireError(f"this tensor has no values to look at ({error})") from None
    if isinstance(value, (np.ndarray, complex)):
        array = np.asarray(value)
        precision = array.dtype.name
    else:
        raise WireError(
            f"expected numbers, text, a list or an array, got an object of type {type(value).__name__}"
        )
    if array.dtype.name not in DTYPES:
        raise WireError(f"an array of dtype {array.dtype} is not plain numbers")
    return np.ascontiguousarray(array).reshape(array.shape), precision


def _from_torch(value: Any, torch: Any) -> tuple[np.ndarray, str]:
    value = value.detach().cpu()
    if value.layout != torch.strided:
        value = value.to_dense()
    precision = str(value.dtype).removeprefix("torch.")
    if precision not in DTYPES:
        value = value.to(torch.complex64 if value.is_complex() else torch.float32)
        precision = precision if precision in HELD_AS else "bfloat16"  # float8: nothing is coarser
    return np.ascontiguousarray(value.resolve_conj().resolve_neg().numpy()).reshape(
        tuple(value.shape)), precision


class _Decoder(_Budget):
    def decode(self, document: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise WireError(f"the value is nested more than {MAX_DEPTH} deep")
        self.spend()
        if document is None or isinstance(document, (bool, float)):
            return document
        if isinstance(document, int):
            if document.bit_length() > MAX_BITS:
                raise WireError("this is not an encoded integer")
            return document
        if isinstance(document, str):
            if len(document) > 10 * MAX_TEXT:  # an escaped surrogate takes six characters
                raise WireError(f"the text is longer than {MAX_TEXT:,} characters")
            self.spend(len(document), 0)
            return document
        if isinstance(document, dict) and len(document) == 1:
            (kind, body), = document.items()
            decoder = getattr(self, f"_{kind}", None) if kind in _KINDS else None
            if decoder is not None:
                return decoder(body, depth)
        raise WireError("this is not an encoded observation")

    def _int(self, body: Any, depth: int) -> int:
        if not isinstance(body, str) or len(body) > 4000:
            raise WireError("this is not an encoded integer")
        try:
            return int(body)
        except ValueError:
            raise WireError("this is not an encoded integer") from None

    def _float(self, body: Any, depth: int) -> float:
        if body not in ("nan", "inf", "-inf"):
            raise WireError("this is not an encoded float")
        return float(body)

    def _list(self, body: Any, depth: int) -> list:
        if not isinstance(body, list):
            raise WireError("this is not an encoded list")
        return [self.decode(item, depth + 1) for item in body]

    def _dict(self, body: Any, depth: int) -> dict:
        if not isinstance(body, list) or any(
            not isinstance(pair, list) or len(pair) != 2 for pair in body
        ):
            raise WireError("this is not an encoded dict")
        result = {}
        for key, value in body:
            key = self.decode(key, depth + 1)
            if isinstance(key, list):
                key = repr(_plain(key))
            if not isinstance(key, (str, int, float, bool, type(None))):
                raise WireError("the keys of a dict must be text or numbers")
            result[key] = self.decode(value, depth + 1)
        return result

    def _array(self, body: Any, depth: int) -> Array:
        if not isinstance(body, dict) or set(body) != {"dtype", "precision", "shape", "data"}:
            raise WireError("this is not an encoded array")
        dtype, shape, data = body["dtype"], body["shape"], body["data"]
        if dtype not in DTYPES or not isinstance(data, str) or not isinstance(shape, list):
            raise WireError("this is not an encoded array")
        if len(shape) > 32 or any(type(n) is not int or not 0 <= n <= MAX_BYTES for n in shape):
            raise WireError("the array's shape is not a list of sizes")
        self.spend(len(data) // 4 * 3 - data[-2:].count("="), 0)
        try:
            raw = base64.b64decode(data, validate=True)
        except ValueError:
            raise WireError("the array's data is not base64") from None
        kind = np.dtype(dtype).newbyteorder("<")
        if math.prod(shape) * kind.itemsize != len(raw):
            raise WireError("the array's shape does not agree with its data")
        precision = body["precision"]
        if precision != dtype and (
            not isinstance(precision, str) or HELD_AS.get(precision) != dtype
        ):
            raise WireError("the array's precision does not agree with its dtype")
        if dtype == "bool":
            raw = raw.translate(_TRUTH)
        try:
            values = np.frombuffer(raw, dtype=kind).reshape(shape).astype(dtype, copy=True)
        except ValueError:  # empty, with other axes too long for NumPy
            raise WireError("the array's shape is not a list of sizes") from None
        return Array(values, precision)


def _plain(item: Any) -> Any:
    if isinstance(item, Array):
        return item.values.tolist()
    return [_plain(part) for part in item] if isinstance(item, list) else item


_TRUTH = bytes([0] + [1] * 255)
_KINDS = ("int", "float", "list", "dict", "array")
