"""The strict interpreter: runs the very ``@triton.jit`` function on NumPy arrays, a program at a time.

The only module that touches Triton's private parts; it was written for Triton 3.6 to 3.9. While
:func:`interpreting` is active, launching a kernel interprets it. Nothing of the learner's module is changed:
a kernel's globals are copied, and Triton's language is patched for the time of one launch.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import inspect
import linecache
import operator
import re
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton
import triton.language as tl
from triton._C.libtriton import ir as _ir
from triton.backends.nvidia.compiler import CUDAOptions, min_dot_size
from triton.language.semantic import TritonSemantic
from triton.runtime import jit as triton_jit
from triton.runtime.autotuner import Autotuner
from triton.runtime.interpreter import (
    InterpreterBuilder,
    InterpreterOptions,
    TensorHandle,
    _get_np_dtype,
)
from triton.runtime.jit import JITFunction
from triton.tools.tensor_descriptor import TensorDescriptor

from ladder.kernel_judge import rounding
from ladder.kernel_judge.findings import KernelError, NotTriton, TooMuch
from ladder.kernel_judge.memory import Memory, Place
from ladder.kernel_judge.rewrite import RUNTIME, UnknownSyntax, hidden, rewritten
from ladder.text import Text, as_text, say

TRITON = str(Path(triton.__file__).parent)
OURS = str(Path(__file__).parent)
HOLE = "your code here"
OPTIONS = {field.name for field in dataclasses.fields(CUDAOptions)} | {
    "num_warps", "num_stages", "num_ctas", "maxnreg", "debug", "launch_cooperative_grid", "launch_pdl"}
_lock = threading.RLock()
_codes: dict[int, tuple[Any, Any]] = {}


@dataclasses.dataclass
class Limits:
    """How much one launch may take."""

    programs: int = 2048
    elements: int = 8_000_000  # of one argument's storage, each of which has shadows
    steps: int = 50_000
    seconds: float = 60.0


@dataclasses.dataclass
class Launch:
    """One launch of a kernel: enough to compile it, and what it moved."""

    kernel: JITFunction
    grid: tuple[int, int, int]
    signature: dict[str, Any]
    constants: dict[str, Any]
    divisible: tuple[tuple[int, ...], ...]
    options: dict[str, Any]
    nested: dict[tuple[int, ...], Any] = dataclasses.field(default_factory=dict)
    counts: Any = None
    unique: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    order: list[int] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        return self.kernel.fn.__name__


class StrictBuilder(InterpreterBuilder):
    """Triton's interpreter builder with exact memory and right arithmetic in narrow types."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory
        self.options = dataclasses.replace(InterpreterOptions(), debug=True, sanitize_overflow=False)
        self.codegen_fns["min_dot_size"] = min_dot_size(None)
        self.grid_idx, self.grid_dim = (0, 0, 0), (1, 1, 1)

    # What atomics returned: until it decides something, it orders nothing

    def decide(self, *handles: Any) -> None:
        if any(getattr(handle, "from_atomic", False) for handle in handles):
            self.memory.decided()

    # Memory

    def create_load(self, ptr: Any, *rest: Any, **named: Any) -> TensorHandle:
        return self._load(ptr, np.ones(ptr.data.shape, bool), None)

    def create_masked_load(self, ptrs: Any, mask: Any, other: Any, *rest: Any, **named: Any) -> TensorHandle:
        return self._load(ptrs, mask, other)

    def _load(self, ptrs: Any, mask: Any, other: Any) -> TensorHandle:
        self.decide(ptrs, mask)
        element = ptrs.get_element_ty()
        kind = _get_np_dtype(element)
        active = np.broadcast_to(getattr(mask, "data", mask) if isinstance(mask, TensorHandle) else mask,
                                 ptrs.data.shape).astype(bool)
        if other is None:
            result = _undefined(ptrs.data.shape, element, kind)
            if not active.all():
                line = self.memory.where().line
                if line not in self.memory.counts.masked_without_other:
                    self.memory.counts.masked_without_other.append(line)
        else:
            result = np.array(np.broadcast_to(other.data, ptrs.data.shape)).astype(kind)
        result[active] = self.memory.load(ptrs.data[active].astype(np.int64), kind)
        return TensorHandle(result, element)

    def create_store(self, ptr: Any, val: Any, *rest: Any, **named: Any) -> None:
        self._store(ptr, val, np.ones(ptr.data.shape, bool))

    def create_masked_store(self, ptrs: Any, value: Any, mask: Any, *rest: Any, **named: Any) -> None:
        self._store(ptrs, value, mask)

    def _store(self, ptrs: Any, value: Any, mask: Any) -> None:
        self.decide(ptrs, mask)
        kind = _get_np_dtype(ptrs.get_element_ty())
        active = np.broadcast_to(getattr(mask, "data", mask) if isinstance(mask, TensorHandle) else mask,
                                 ptrs.data.shape).astype(bool)
        values = np.broadcast_to(value.data, ptrs.data.shape).astype(kind)
        self.memory.store(ptrs.data[active].astype(np.int64), values[active])

    def create_atomic_rmw(self, operation: Any, ptr: Any, val: Any, mask: Any, sem: Any, scope: Any) -> TensorHandle:
        name = str(operation).rsplit(".", 1)[-1]
        active = np.broadcast_to(mask.data, ptr.data.shape).astype(bool)
        element = ptr.get_element_ty()
        given = np.broadcast_to(val.data, ptr.data.shape)[active]
        change = _ATOMICS[name]

        def apply(lane: int, old: Any) -> Any:
            if name == "XCHG":
                return given[lane]
            new = change(_decode(np.array([old]), element)[0], _decode(given[lane:lane + 1], element)[0])
            return _encode(np.array([new]), element)[0]

        return self._atomic(ptr, active, sem, name != "XCHG", apply)

    def create_atomic_cas(self, ptr: Any, cmp: Any, val: Any, sem: Any, scope: Any) -> TensorHandle:
        active = np.ones(ptr.data.shape, bool)
        wanted, given = (np.broadcast_to(h.data, ptr.data.shape).reshape(-1) for h in (cmp, val))
        return self._atomic(ptr, active, sem, True, lambda lane, old: given[lane] if old == wanted[lane] else old)

    def create_atomic_load(self, ptr: Any, mask: Any, sem: Any, scope: Any) -> TensorHandle:
        active = np.broadcast_to(mask.data, ptr.data.shape).astype(bool)
        return self._atomic(ptr, active, sem, True, lambda lane, old: old)

    def create_atomic_store(self, ptr: Any, val: Any, mask: Any, sem: Any, scope: Any) -> None:
        active = np.broadcast_to(mask.data, ptr.data.shape).astype(bool)
        given = np.broadcast_to(val.data, ptr.data.shape)[active]
        self._atomic(ptr, active, sem, False, lambda lane, old: given[lane])

    def create_atomic_poll(self, ptr: Any, expected: Any, *rest: Any) -> TensorHandle:
        active = np.ones(ptr.data.shape, bool)
        held = self._atomic(ptr, active, _ir.MEM_SEMANTIC.ACQUIRE, True, lambda lane, old: old)
        matched = held.data == expected.data
        if not matched.all():
            raise TooMuch(say("waits for another program, which need not run at the same time",
                              "在等待另一个程序，而它不一定同时运行"))
        self.memory.decided()
        return TensorHandle(matched, tl.int1)

    def _atomic(self, ptr: Any, active: np.ndarray, sem: Any, reads: bool, apply: Callable) -> TensorHandle:
        element = ptr.get_element_ty()
        kind = _get_np_dtype(element)
        order = str(sem).rsplit(".", 1)[-1]
        result = np.zeros(ptr.data.shape, kind)
        result[active] = self.memory.atomic(
            ptr.data[active].astype(np.int64), kind, "ACQUIRE" in order, "RELEASE" in order, reads, apply)
        made = TensorHandle(result, element)
        made.from_atomic = True
        return made

    # Arithmetic

    def binary_op(self, lhs: Any, rhs: Any, op: Callable) -> TensorHandle:
        kind = lhs.dtype.scalar
        left, right = lhs.data, rhs.data
        if left.dtype == np.bool_ and right.dtype == np.bool_:
            out = op(left.astype(np.int8), right.astype(np.int8))
            return TensorHandle(out if out.dtype == np.bool_ else (out & 1).astype(bool), tl.int1)
        out = op(_decode(left, kind), _decode(right, rhs.dtype.scalar))
        if out.dtype == np.bool_:
            return TensorHandle(out, tl.int1)
        return TensorHandle(_encode(out, kind), kind)

    def unary_op(self, arg: Any, op: Callable) -> TensorHandle:
        kind = arg.dtype.scalar
        return TensorHandle(_encode(op(_decode(arg.data, kind)), kind), kind)

    def ternary_op(self, lhs: Any, rhs: Any, other: Any, op: Callable) -> TensorHandle:
        kind = other.dtype.scalar
        if op is np.where:
            out = np.where(lhs.data.astype(bool), rhs.data.astype(other.data.dtype, copy=False), other.data)
            return TensorHandle(out, kind)
        out = op(_decode(lhs.data, kind), _decode(rhs.data, kind), _decode(other.data, kind))
        return TensorHandle(_encode(out, kind), kind)

    def create_clampf(self, arg: Any, lo: Any, hi: Any, propagate_nans: Any) -> TensorHandle:
        if propagate_nans == _ir.PROPAGATE_NAN.NONE:
            return self.binary_op(self.binary_op(arg, lo, np.fmax), hi, np.fmin)
        return self.binary_op(self.binary_op(arg, lo, np.maximum), hi, np.minimum)

    def create_minnumf(self, lhs: Any, rhs: Any) -> TensorHandle:
        return self.binary_op(lhs, rhs, np.fmin)

    def create_maxnumf(self, lhs: Any, rhs: Any) -> TensorHandle:
        return self.binary_op(lhs, rhs, np.fmax)

    def create_ashr(self, lhs: Any, rhs: Any) -> TensorHandle:
        signed = np.dtype(f"int{8 * lhs.data.dtype.itemsize}")
        out = np.right_shift(lhs.data.astype(signed), rhs.data.astype(signed))
        return TensorHandle(out.astype(lhs.data.dtype), lhs.dtype.scalar)

    def create_umulhi(self, lhs: Any, rhs: Any) -> TensorHandle:
        kind = lhs.data.dtype
        bits = 8 * kind.itemsize
        wide = [h.data.astype(f"uint{bits}").astype(object) for h in (lhs, rhs)]
        high = ((wide[0] * wide[1]) >> bits).astype(f"uint{bits}")
        return TensorHandle(high.astype(kind), lhs.dtype.scalar)

    def create_fma(self, x: Any, y: Any, z: Any) -> TensorHandle:
        kind = z.dtype.scalar
        wide = np.longdouble if kind in (tl.float32, tl.float64) else np.float64
        out = _decode(x.data, kind).astype(wide) * _decode(y.data, kind).astype(wide) + _decode(z.data, kind)
        return TensorHandle(_encode(out, kind), kind)

    def create_rsqrt(self, arg: Any) -> TensorHandle:
        return self.unary_op(arg, lambda x: 1 / np.sqrt(x))

    def create_fneg(self, arg: Any) -> TensorHandle:
        return self.unary_op(arg, np.negative)

    def create_approx_divf(self, lhs: Any, rhs: Any) -> TensorHandle:
        return self.binary_op(lhs, rhs, np.divide)

    def get_bf16(self, value: float) -> TensorHandle:
        return TensorHandle(_encode(np.array([value], np.float32), tl.bfloat16), tl.bfloat16)

    def cast_impl(self, src: Any, dst_type: Any) -> TensorHandle:
        kind = dst_type.scalar
        values = _decode(src.data, src.dtype.scalar)
        target = _get_np_dtype(kind)
        if values.dtype.kind == "f" and kind.is_int():
            info = np.iinfo(target) if target != np.bool_ else None
            if info is not None:  # as the GPU converts: toward zero, saturating, NaN to 0
                held = np.trunc(np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))
                out = np.where(held >= info.max, info.max,
                               np.where(held <= info.min, info.min, np.clip(held, -2.0**62, 2.0**62).astype(np.int64)))
                return TensorHandle(out.astype(target), kind)
        return TensorHandle(_encode(values, kind), kind)

    def create_fp_to_fp(self, src: Any, dst_type: Any, rounding_mode: Any) -> TensorHandle:
        kind = dst_type.scalar
        values = _decode(src.data, src.dtype.scalar)
        if rounding_mode is not None and rounding_mode != _ir.ROUNDING_MODE.RTNE:
            return TensorHandle(_toward_zero(values, kind), kind)
        return TensorHandle(_encode(values, kind), kind)

    def create_bitcast(self, src: Any, dst_type: Any) -> TensorHandle:
        data = np.ascontiguousarray(src.data).reshape(src.data.shape)
        return TensorHandle(data.view(_get_np_dtype(dst_type)), dst_type.scalar)

    create_int_to_ptr = create_bitcast
    create_ptr_to_int = create_bitcast

    def create_dot(self, a: Any, b: Any, d: Any, input_precision: Any, *rest: Any) -> TensorHandle:
        kind = d.dtype.scalar
        left, right = _decode(a.data, a.dtype.scalar), _decode(b.data, b.dtype.scalar)
        self.memory.counts.dot_flops += 2 * int(np.prod(left.shape)) * right.shape[-1]
        if kind.is_int():
            out = np.matmul(left.astype(np.float64), right.astype(np.float64)).astype(np.int64)
            return TensorHandle((out + d.data).astype(np.int32), kind)
        if kind == tl.float64:
            return TensorHandle(np.matmul(left, right) + d.data, kind)
        if a.dtype.scalar == tl.float32 and str(input_precision).rsplit(".", 1)[-1] == "TF32":
            left, right = rounding.tf32(left), rounding.tf32(right)
        left, right = left.astype(np.float32), right.astype(np.float32)
        if kind != tl.float16:
            return TensorHandle(np.matmul(left, right) + d.data, kind)
        out = d.data.astype(np.float16)  # a tensor core adds 16 products at a time to a float16
        for k in range(0, left.shape[-1], 16):
            out = (np.matmul(left[..., k:k + 16], right[..., k:k + 16, :]) + out.astype(np.float32)).astype(np.float16)
        return TensorHandle(out, kind)

    # The rest

    def create_assert(self, condition: Any, message: Any, *rest: Any) -> None:
        if not np.all(condition.data):
            self.memory.find("DeviceAssert", say(f"device_assert does not hold: {message}",
                                                 f"device_assert 不成立：{message}"))

    def create_assume(self, condition: Any) -> None:
        if not np.all(condition.data):
            self.memory.find("DeviceAssert", say("what tl.assume assumes does not hold", "tl.assume 的假设不成立"))

    def create_barrier(self, *rest: Any) -> None:
        pass

    def create_extern_elementwise(self, *rest: Any) -> TensorHandle:
        raise NotTriton(say("libdevice cannot be interpreted; use tl.math or write it out",
                            "解释器不支持 libdevice；请使用 tl.math 或自己写出"))

    def create_inline_asm(self, *rest: Any) -> TensorHandle:
        raise NotTriton(say("inline assembly cannot be interpreted", "解释器不支持内联汇编"))


def _follows(name: str) -> Callable:
    """An operation of the builder's whose result comes from an atomic if what it is made of does."""
    plain = getattr(StrictBuilder, name)

    def operate(self: Any, *args: Any) -> Any:
        made = plain(self, *args)
        if isinstance(made, TensorHandle) and any(getattr(arg, "from_atomic", False) for arg in args):
            made.from_atomic = True
        return made

    return operate


for _name in ("binary_op", "unary_op", "ternary_op", "cast_impl", "create_splat", "create_broadcast", "create_reshape",
              "create_expand_dims", "create_trans", "create_ashr", "create_bitcast"):
    if hasattr(StrictBuilder, _name):
        setattr(StrictBuilder, _name, _follows(_name))

_ATOMICS: dict[str, Callable[[Any, Any], Any]] = {
    "ADD": np.add, "FADD": np.add, "MIN": np.minimum, "UMIN": np.minimum, "MAX": np.maximum,
    "UMAX": np.maximum, "AND": np.bitwise_and, "OR": np.bitwise_or, "XOR": np.bitwise_xor,
    "XCHG": lambda old, new: new,
}


def _decode(data: np.ndarray, kind: Any) -> np.ndarray:
    """The values of a handle's data: narrow floats as float32, all else as it is."""
    if kind == tl.bfloat16 and data.dtype == np.uint16:
        return rounding.bf16_to_float32(data)
    if data.dtype == np.uint8 and getattr(kind, "name", "") in rounding.FP8:
        return rounding.fp8_to_float32(data, kind.name)
    return data


def _encode(values: np.ndarray, kind: Any) -> np.ndarray:
    """``values`` rounded to ``kind``, as a handle holds them."""
    if kind == tl.bfloat16:
        return rounding.float32_to_bf16(values)
    if getattr(kind, "name", "") in rounding.FP8:
        return rounding.float32_to_fp8(values, kind.name)
    return values.astype(_get_np_dtype(kind), copy=False)


def _toward_zero(values: np.ndarray, kind: Any) -> np.ndarray:
    if kind == tl.bfloat16:
        return rounding.float32_to_bf16(values, toward_zero=True)
    made = _encode(values, kind)
    if kind == tl.float16:
        return np.where(np.abs(made.astype(values.dtype)) > np.abs(values),
                        np.nextafter(made, np.float16(0)), made)
    return made


def _undefined(shape: Sequence[int], element: Any, kind: np.dtype) -> np.ndarray:
    """What masked lanes hold where no ``other`` is given: nothing that could pass for a right number."""
    if kind.kind == "f":
        return np.full(shape, np.nan, kind)
    if element == tl.bfloat16:
        return np.full(shape, 0x7FC0, kind)
    if getattr(element, "name", "") in rounding.FP8:
        return rounding.float32_to_fp8(np.full(shape, np.nan), element.name)
    if kind == np.bool_:
        return np.ones(shape, kind)
    return np.frombuffer(b"\x55" * 8, kind)[:1].repeat(int(np.prod(shape, dtype=int))).reshape(shape)


def tensor_of(data: np.ndarray, kind: Any) -> Any:
    """A Triton tensor that holds ``data``; without axes, a scalar."""
    if data.ndim == 0:
        return tl.core.tensor(TensorHandle(data.reshape(1), kind), kind)
    return tl.core.tensor(TensorHandle(data, kind), tl.block_type(kind, list(data.shape)))


def _scalar(value: int, kind: Any) -> Any:
    return tl.core.tensor(TensorHandle(np.array([value], _get_np_dtype(kind)), kind), kind)


def _bare(value: Any) -> Any:
    return value.value if isinstance(value, tl.constexpr) else value


class Runtime:
    """What ``__ladder__`` means inside a rewritten kernel."""

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter

    def assign(self, value: Any) -> Any:
        value = _bare(value)
        if isinstance(value, (bool, int, float)):
            return self._interpreter.semantic.to_tensor(value, False)
        if type(value) is tuple:
            return tuple(self.assign(part) for part in value)
        return value

    def truth(self, value: Any) -> bool:
        value = _bare(value)
        if isinstance(value, tl.core.tensor):
            if value.handle.data.size != 1:
                raise NotTriton(say(
                    f"a condition must be one number, this is a block of shape {_shape(value)}; use tl.where",
                    f"条件必须是一个数，这里是形状为 {_shape(value)} 的块；请使用 tl.where"))
            self._interpreter.builder.decide(value.handle)
            return bool(value.handle.data.reshape(-1)[0])
        if isinstance(value, tl.core.condition):
            return self.truth(value.condition)
        return bool(value)

    def again(self, value: Any) -> bool:
        self._interpreter.step()
        return self.truth(value)

    def asserted(self, value: Any, message: Any) -> None:
        value = _bare(value)
        holds = value.handle.data.all() if isinstance(value, tl.core.tensor) else bool(value)
        if not holds:
            self._interpreter.memory.find("DeviceAssert", say(f"assert does not hold: {_bare(message)}",
                                                              f"assert 不成立：{_bare(message)}"))

    def range(self, *bounds: Any) -> Iterator[Any]:
        if len(bounds) not in (1, 2, 3):
            raise TypeError(f"range takes 1 to 3 arguments, not {len(bounds)}")
        kind = tl.int32
        numbers = []
        for bound in map(_bare, bounds):
            if isinstance(bound, tl.core.tensor):
                if bound.handle.data.size != 1 or not bound.dtype.is_int():
                    raise NotTriton(say("the bounds of a range must be whole numbers", "range 的边界必须是整数"))
                if bound.dtype.primitive_bitwidth == 64:
                    kind = tl.int64
                numbers.append(int(bound.handle.data.reshape(-1)[0]))
            else:
                numbers.append(operator.index(bound))
        for number in range(*numbers):
            yield _scalar(number, kind)

    def loop(self, items: Any) -> Iterator[Any]:
        for item in items:
            self._interpreter.step()
            yield item

    def chain(self, operands: tuple, names: tuple) -> Any:
        result = None
        for left, right, name in zip(operands[:-1], operands[1:], names, strict=True):
            found = _COMPARE[name](left, right)
            result = found if result is None else self._logical("logical_and", result, found)
        return result

    def both(self, *later: Callable[[], Any]) -> Any:
        return self._fold("logical_and", later, False)

    def either(self, *later: Callable[[], Any]) -> Any:
        return self._fold("logical_or", later, True)

    def _fold(self, name: str, later: Sequence[Callable[[], Any]], decisive: bool) -> Any:
        result = _bare(later[0]())
        for value in later[1:]:
            if not isinstance(result, tl.core.tensor) and bool(result) is decisive:
                return result
            result = self._logical(name, result, _bare(value()))
        return result

    def _logical(self, name: str, left: Any, right: Any) -> Any:
        if isinstance(left, tl.core.tensor) or isinstance(right, tl.core.tensor):
            semantic = self._interpreter.semantic
            return getattr(semantic, name)(semantic.to_tensor(left), semantic.to_tensor(right))
        return (left and right) if name == "logical_and" else (left or right)

    def negate(self, value: Any) -> Any:
        value = _bare(value)
        if isinstance(value, tl.core.tensor):
            return self._interpreter.semantic.not_(value)
        return not value

    def value_of(self, owner: Any) -> Any:
        return owner if isinstance(owner, (bool, int, float, str, tl.dtype)) else owner.value


_COMPARE = {"Lt": operator.lt, "LtE": operator.le, "Gt": operator.gt, "GtE": operator.ge,
            "Eq": operator.eq, "NotEq": operator.ne, "Is": operator.is_, "IsNot": operator.is_not,
            "In": lambda a, b: a in b, "NotIn": lambda a, b: a not in b}


def _shape(value: Any) -> str:
    return str(tuple(value.handle.data.shape)).replace(" ", "")


class Interpreter:
    """Interprets launches; keeps them, with what they moved."""

    def __init__(self, seed: int = 0, limits: Limits | None = None, trace: bool = False) -> None:
        self.memory = Memory(self.place, trace)
        self.builder = StrictBuilder(self.memory)
        self.semantic = TritonSemantic(self.builder)
        self.rng = np.random.default_rng(seed)
        self.limits = limits or Limits()
        self.launches: list[Launch] = []
        self.notes: list[Text] = []
        self.runtime = Runtime(self)
        self._functions: dict[int, Callable] = {}
        self._deadline = 0.0
        self._thread = threading.get_ident()
        self._running: JITFunction | None = None
        self._patches: list[tuple[Any, str, Any]] = []

    # Where

    def place(self) -> Place:
        """The learner's line that is being interpreted."""
        frame = sys._getframe(1)
        name = self._running.fn.__name__ if self._running is not None else ""
        while frame is not None:
            filename = frame.f_code.co_filename
            if RUNTIME in frame.f_globals and not filename.startswith(TRITON):
                return Place(name, frame.f_lineno, linecache.getline(filename, frame.f_lineno).strip(),
                             filename, self.builder.grid_idx)
            frame = frame.f_back  # type: ignore[assignment]
        return Place(name, 0, "", "", self.builder.grid_idx)

    def step(self) -> None:
        """Count one step of a loop."""
        self.memory.counts.steps += 1
        if self.memory.counts.steps > self.limits.steps:
            raise TooMuch(say(f"more than {self.limits.steps} steps of loops in one launch",
                              f"一次启动中的循环超过 {self.limits.steps} 步"))
        self.tick()

    def tick(self) -> None:
        """Stop a launch that takes too long."""
        if time.monotonic() > self._deadline:
            raise TooMuch(say(f"takes more than {self.limits.seconds:g} s to interpret",
                              f"解释执行超过 {self.limits.seconds:g} 秒"))

    # Launching

    def launch(self, kernel: JITFunction, args: tuple, kwargs: dict[str, Any], grid: Any) -> None:
        """Interpret ``kernel[grid](*args, **kwargs)``."""
        if threading.get_ident() != self._thread:  # it would wait for ever for the one that holds the lock
            raise NotTriton(say("launched from another thread", "从另一个线程启动"))
        with _lock:
            self._running = kernel
            self.builder.grid_idx = (0, 0, 0)
            try:
                self._launch(kernel, args, kwargs, grid)
            except KernelError as error:  # whoever catches it has not made it good
                finding = error.finding
                self.memory.findings.setdefault((finding.kind, finding.kernel, finding.line, "raised"), finding)
                raise
            finally:
                self._running = None

    def _launch(self, kernel: JITFunction, args: tuple, kwargs: dict[str, Any], grid: Any) -> None:
        for hook in kernel.pre_run_hooks:
            hook(*args, **kwargs)
        signature = inspect.signature(kernel.fn)
        options = {name: kwargs.pop(name) for name in list(kwargs) if name not in signature.parameters}
        options.pop("warmup", None)
        unknown = sorted(set(options) - OPTIONS)
        if unknown:
            raise self._at_launch(say(
                f"the launch names {', '.join(unknown)}, which is neither a parameter nor an option",
                f"启动时给出了 {', '.join(unknown)}，它既不是参数也不是选项"))
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise self._at_launch(as_text(str(error))) from None
        bound.apply_defaults()
        given = {name: _bare(value) for name, value in bound.arguments.items()}
        shape = self._grid(grid, given)
        bases = iter(self.memory.begin_launch(self._tensors(given)))
        record = Launch(kernel, shape, {}, {}, (), options)
        values = {}
        for parameter in kernel.params:
            name, value = parameter.name, given[parameter.name]
            if parameter.is_constexpr:
                record.signature[name], record.constants[name] = "constexpr", value
                values[name] = value
            else:
                values[name] = self._argument(name, value, parameter, bases, record, (parameter.num,))
        self.launches.append(record)
        programs = int(np.prod(shape))
        record.order = [int(p) for p in self.rng.permutation(programs)]
        self.memory.coordinates = [(int(i % shape[0]), int(i // shape[0] % shape[1]), int(i // (shape[0] * shape[1])))
                                   for i in range(programs)]
        self.memory.counts.programs = programs
        record.counts = self.memory.counts
        self.builder.grid_dim = shape
        self._deadline = time.monotonic() + self.limits.seconds
        self._functions = {}
        function = self.function(kernel)
        with self._patched(), np.errstate(all="ignore"):
            for program in record.order:
                self.builder.grid_idx = self.memory.coordinates[program]
                self.memory.begin_program(program)
                self.tick()
                self._run(function, values)
        self.memory.end_launch()
        record.unique = self.memory.unique_bytes()

    def _run(self, function: Callable, values: dict[str, Any]) -> None:
        try:
            function(**values)
        except KernelError as error:
            if error.finding.line:
                raise
            raise self._located(error, type(error), error.finding.text) from None
        except NotImplementedError as error:
            if HOLE in str(error):
                raise
            raise self._located(error, NotTriton, as_text(f"NotImplementedError: {error}")) from None
        except RecursionError as error:
            raise self._located(error, TooMuch, say("recursion without end", "无限递归")) from None
        except Exception as error:
            message = " ".join(str(error).split())[:300]
            if isinstance(error, NameError) and (hasattr(builtins, error.name or "")
                                                 or error.name in self._running_globals()):
                raise self._located(error, NotTriton, say(
                    f"{error.name} does not exist in a kernel: of what stands outside, it sees other kernels, "
                    "tl and values that are tl.constexpr",
                    f"kernel 中没有 {error.name}：在 kernel 之外定义的东西里，它只能使用其他 kernel、tl 和 "
                    "tl.constexpr 常量")) from None
            raise self._located(error, NotTriton, as_text(f"{type(error).__name__}: {message}")) from error

    def _running_globals(self) -> set[str]:
        known: set[str] = set()
        for kernel, _ in _codes.values():
            known |= set(kernel.fn.__globals__)
        return known

    def _located(self, error: BaseException, kind: type[KernelError], text: Text) -> KernelError:
        """``error`` told with the learner's line that led to it."""
        from ladder.kernel_judge.findings import Finding

        line, source, file = 0, "", ""
        trace = error.__traceback__
        while trace is not None:
            frame = trace.tb_frame
            filename = frame.f_code.co_filename
            if RUNTIME in frame.f_globals and not filename.startswith(TRITON):
                line, file = trace.tb_lineno, filename
                source = linecache.getline(filename, line).strip()
            trace = trace.tb_next
        name = self._running.fn.__name__ if self._running is not None else ""
        return kind(Finding(kind.__name__, text, name, line, source, file, self.builder.grid_idx))

    def _at_launch(self, text: Text) -> NotTriton:
        from ladder.kernel_judge.findings import Finding

        assert self._running is not None
        return NotTriton(Finding("NotTriton", text, self._running.fn.__name__))

    def _grid(self, grid: Any, given: dict[str, Any]) -> tuple[int, int, int]:
        if callable(grid):
            grid = grid(given)
        grid = tuple(grid) if isinstance(grid, (tuple, list)) else (grid,)
        if not 1 <= len(grid) <= 3 or any(not isinstance(n, (int, np.integer)) or isinstance(n, bool) for n in grid):
            raise self._at_launch(say(f"a grid is one to three whole numbers, not {grid!r:.80}",
                                      f"grid 应当是一到三个整数，而不是 {grid!r:.80}"))
        x, y, z = (int(n) for n in (*grid, 1, 1)[:3])
        if min(x, y, z) < 0 or x >= 2**31 or max(y, z) >= 2**16:
            raise self._at_launch(say(f"a GPU cannot launch the grid {(x, y, z)}", f"GPU 无法启动网格 {(x, y, z)}"))
        if x * y * z > self.limits.programs:
            raise TooMuch(say(f"{x * y * z} programs; a case may have {self.limits.programs}",
                              f"共 {x * y * z} 个程序；一个用例最多 {self.limits.programs} 个"))
        return x, y, z

    def _tensors(self, given: dict[str, Any]) -> list[tuple[str, Any]]:
        found = []
        for name, value in given.items():
            parts = value if isinstance(value, tuple) else (value,)
            for number, part in enumerate(parts):
                label = f"{name}[{number}]" if isinstance(value, tuple) else name
                tensor = part.base if isinstance(part, (TensorDescriptor, triton_jit.TensorWrapper)) else part
                if hasattr(tensor, "data_ptr"):
                    if tensor.device.type != "cpu":
                        raise self._at_launch(say(f"{label} is not in this machine's memory",
                                                  f"{label} 不在本机内存中"))
                    elements = tensor.untyped_storage().nbytes() // max(1, tensor.element_size())
                    if elements > self.limits.elements:
                        raise TooMuch(say(
                            f"{label} has {elements:,} elements; a case may have {self.limits.elements:,}",
                            f"{label} 有 {elements:,} 个元素；一个用例最多 {self.limits.elements:,} 个"))
                    found.append((label, tensor))
        return found

    def _argument(
        self, name: str, value: Any, parameter: Any, bases: Iterator[int], record: Launch, path: tuple[int, ...]
    ) -> Any:
        """One argument as the kernel sees it; its type goes into ``record``."""
        if value is None or isinstance(value, (str, tl.dtype, JITFunction)):
            record.signature[name], record.constants[name] = "constexpr", value
            return value
        if isinstance(value, tuple):
            inner = Launch(record.kernel, record.grid, {}, {}, (), {})
            made = [self._argument(f"{name}[{i}]", part, parameter, bases, inner, (*path, i))
                    for i, part in enumerate(value)]
            record.signature[name] = tuple(inner.signature.values())
            record.divisible += inner.divisible
            record.nested |= inner.nested | {(*path, i): inner.constants[label] for i, label
                                             in enumerate(inner.signature) if label in inner.constants}
            return tl.tuple(made)
        if isinstance(value, TensorDescriptor):
            return self._descriptor(name, value, next(bases), record)
        if hasattr(value, "data_ptr"):
            kind = triton_jit.mangle_type(value)
            base = next(bases)
            pointer = tl.str_to_ty(kind, None)
            record.signature[name] = kind
            if base % 16 == 0:
                record.divisible += (path,)
            return tl.core.tensor(TensorHandle(np.array([base], np.uint64), pointer), pointer)
        if isinstance(value, (bool, np.bool_)):
            record.signature[name] = "i1"
            return _scalar(int(value), tl.int1)
        if isinstance(value, (int, np.integer)):
            value = int(value)
            kind = getattr(parameter, "annotation_type", "") or triton_jit.mangle_type(value)
            if kind == "constexpr":  # a 1, which a launch makes a constant
                kind = "i32"
            if value == 1:
                record.signature[name], record.constants[name] = "constexpr", 1
            else:
                record.signature[name] = kind
                if value % 16 == 0:
                    record.divisible += (path,)
            return _scalar(value, tl.str_to_ty(kind, None))
        if isinstance(value, (float, np.floating)):
            kind = getattr(parameter, "annotation_type", "") or "fp32"
            record.signature[name] = kind
            scalar = tl.str_to_ty(kind, None)
            return tl.core.tensor(TensorHandle(_encode(np.array([float(value)], np.float32), scalar), scalar), scalar)
        raise self._at_launch(say(f"{name} is a {type(value).__name__}, which no kernel can take",
                                  f"{name} 的类型是 {type(value).__name__}，kernel 不能接受"))

    def _descriptor(self, name: str, value: Any, base: int, record: Launch) -> Any:
        kind = triton_jit.mangle_type(value.base)
        pointer = tl.str_to_ty(kind, None)
        record.signature[name] = triton_jit.mangle_type(value)
        with self._patched():
            made = self.semantic.make_tensor_descriptor(
                tl.core.tensor(TensorHandle(np.array([base], np.uint64), pointer), pointer),
                [_scalar(int(n), tl.int32) for n in value.shape],
                [*(_scalar(int(s), tl.int64) for s in value.strides[:-1]), tl.constexpr(1)],
                [tl.constexpr(int(n)) for n in value.block_shape],
                value.padding)
        return made

    # Functions

    def function(self, kernel: JITFunction) -> Callable:
        """``kernel`` rewritten, over a copy of its globals."""
        key = id(kernel)
        if key not in self._functions:
            known = _codes.get(key)
            if known is None or known[0] is not kernel:
                _codes[key] = known = (kernel, self._code(kernel))
            scope = dict(kernel.fn.__globals__)
            scope.update(inspect.getclosurevars(kernel.fn).nonlocals)
            if not _is_tritons(kernel):
                scope = {name: value for name, value in scope.items() if _visible(name, value, scope)}
                scope["__builtins__"] = _BUILTINS
            for name, value in list(scope.items()):
                if isinstance(value, tl.constexpr):
                    scope[name] = value.value
                elif isinstance(value, types.FunctionType) and tl.core.is_builtin(value):
                    scope[name] = self._bound(value)
                elif value is tl.range:
                    scope[name] = self._range
                elif value is tl.static_range:
                    scope[name] = self._static_range
                elif value is tl.static_assert:
                    scope[name] = _static_assert
            scope[RUNTIME] = self.runtime
            scope.setdefault("min", _smallest)
            scope.setdefault("max", _largest)
            function = types.FunctionType(known[1], scope, kernel.fn.__name__)
            function.__defaults__ = _bare_all(kernel.fn.__defaults__)
            function.__kwdefaults__ = kernel.fn.__kwdefaults__
            self._functions[key] = function
        return self._functions[key]

    def _code(self, kernel: JITFunction) -> Any:
        raw = "".join(kernel.raw_src) if isinstance(kernel.raw_src, list) else kernel.raw_src
        before = re.search(r"^[ \t]*def\s", raw, re.MULTILINE)
        first = kernel.starting_line_number + (raw[:before.start()].count("\n") if before else 0)
        try:
            return rewritten(kernel.src, kernel.fn.__code__.co_filename, first, _is_tritons(kernel))
        except UnknownSyntax as error:
            from ladder.kernel_judge.findings import Finding

            file = kernel.fn.__code__.co_filename
            raise NotTriton(Finding("NotTriton", say(f"Triton does not know `{error.what}` in a kernel",
                                                     f"Triton 的 kernel 中不能使用 `{error.what}`"),
                                    kernel.fn.__name__, error.line,
                                    linecache.getline(file, error.line).strip(), file)) from None

    def call(self, function: JITFunction, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Call a ``@triton.jit`` function from inside a kernel."""
        self.step()
        bound = inspect.signature(function.fn).bind(*args, **kwargs)
        bound.apply_defaults()
        for parameter in function.params:
            if parameter.is_constexpr and parameter.name in bound.arguments:
                bound.arguments[parameter.name] = _bare(bound.arguments[parameter.name])
        return self.function(function)(*bound.args, **bound.kwargs)

    # Triton's language, patched for one launch

    def _bound(self, member: Callable) -> Callable:
        semantic = self.semantic

        def bound(*args: Any, **kwargs: Any) -> Any:
            kwargs["_semantic"] = semantic
            return member(*args, **kwargs)

        return bound

    def _plan(self) -> list[tuple[Any, str, Any]]:
        plan: list[tuple[Any, str, Any]] = []
        classes = [c for c in vars(tl.core).values() if isinstance(c, type) and issubclass(c, tl.core.base_value)]
        for owner in [tl, tl.core, tl.math, *classes]:
            for name, member in list(vars(owner).items()):
                if isinstance(member, types.FunctionType) and tl.core.is_builtin(member):
                    plan.append((owner, name, self._bound(member)))
                elif isinstance(owner, type) and isinstance(member, JITFunction):
                    plan.append((owner, name, _method(self, member)))
        for module in (tl, tl.core):
            plan += [(module, name, new) for name, new in {
                "reduce": self._reduce, "associative_scan": self._scan, "range": self._range,
                "static_range": self._static_range, "static_assert": _static_assert,
                "static_print": lambda *values, **named: None,
            }.items() if hasattr(module, name)]
            plan += [(module, name, self._hint(name)) for name in ("multiple_of", "max_contiguous", "max_constancy")]
        plan.append((tl.core.tensor, "reduce", lambda value, *a, **k: self._reduce(value, *a, **k)))
        plan.append((tl.core.tensor, "associative_scan", lambda value, *a, **k: self._scan(value, *a, **k)))
        plan.append((tl.core.tensor, "T", property(self._transposed)))
        plan.append((tl.core.dtype, "to_ir", _dtype_to_ir))
        for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "lt", "le", "gt", "ge", "eq", "ne",
                     "and", "or", "xor", "lshift", "rshift", "radd", "rsub", "rmul", "rtruediv", "rfloordiv"):
            original = vars(tl.constexpr).get(f"__{name}__")
            if original is not None:
                plan.append((tl.constexpr, f"__{name}__", _beside_tensors(original)))
        return plan

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        if not self._patches:
            self._patches = self._plan()
        before = [(owner, name, vars(owner).get(name, _patched_nothing)) for owner, name, _ in self._patches]
        try:
            for owner, name, new in self._patches:
                setattr(owner, name, new)
            yield
        finally:
            for owner, name, old in reversed(before):
                if old is _patched_nothing:
                    delattr(owner, name)
                else:
                    setattr(owner, name, old)

    def _hint(self, name: str) -> Callable:
        def keep(input: Any, values: Any, _semantic: Any = None) -> Any:
            numbers = [int(_bare(v)) for v in _as_tuple(tuple(values) if isinstance(values, list) else _bare(values))]
            if name == "multiple_of" and isinstance(input, tl.core.tensor) and input.handle.data.size:
                first = int(input.handle.data.reshape(-1)[0])
                if any(first % number for number in numbers if number > 0):
                    self.memory.find("DeviceAssert", say(
                        f"tl.multiple_of says {numbers}, but the first number is {first}",
                        f"tl.multiple_of 声明了 {numbers}，但第一个数是 {first}"))
            return input

        keep.__name__ = name
        return keep

    def _transposed(self, value: Any) -> Any:
        return tensor_of(np.swapaxes(value.handle.data, -1, -2), value.dtype)

    def _range(self, arg1: Any, arg2: Any = None, step: Any = None, num_stages: Any = None,
               loop_unroll_factor: Any = None, disallow_acc_multi_buffer: Any = False, flatten: Any = False,
               warp_specialize: Any = False, disable_licm: Any = False) -> Iterator[Any]:
        start, stop = (0, arg1) if arg2 is None else (arg1, arg2)
        return self.runtime.range(start, stop, 1 if step is None else step)

    def _static_range(self, arg1: Any, arg2: Any = None, step: Any = None) -> Iterator[int]:
        start, stop = (0, arg1) if arg2 is None else (arg1, arg2)
        bounds = [_bare(b) for b in (start, stop, 1 if step is None else step)]
        if any(isinstance(b, tl.core.tensor) for b in bounds):
            raise NotTriton(say("the bounds of tl.static_range must be constants",
                                "tl.static_range 的边界必须是常量"))
        return iter(range(*map(int, bounds)))

    def _reduce(self, input: Any, axis: Any, combine_fn: Any, keep_dims: Any = False, *,
                reduction_ordering: Any = None, _semantic: Any = None, _generator: Any = None) -> Any:
        single = isinstance(input, tl.core.tensor)
        tensors = (input,) if single else tuple(input)
        axis, keep_dims = _bare(axis), bool(_bare(keep_dims))
        shape = tensors[0].handle.data.shape
        kinds = [t.dtype for t in tensors]
        datas = [t.handle.data for t in tensors]
        if axis is None:
            datas, kept, axis = [d.reshape(-1) for d in datas], (1,) * len(shape), 0
        else:
            rank = len(shape)
            if not -rank <= axis < rank:
                raise ValueError(f"axis {axis} of a block with {rank} axes")
            axis %= rank
            kept = (*shape[:axis], 1, *shape[axis + 1:])
        rest = tuple(n for i, n in enumerate(datas[0].shape) if i != axis)
        datas = [np.moveaxis(d, axis, -1) for d in datas]
        plain = not kinds[0].is_floating() or kinds[0] in (tl.float32, tl.float64)
        if combine_fn is tl.standard._sum_combine and plain:
            datas = [d.sum(axis=-1, keepdims=True, dtype=d.dtype) for d in datas]
        while datas[0].shape[-1] > 1:
            pairs = [tensor_of(d[..., side::2], k) for side in (0, 1) for d, k in zip(datas, kinds, strict=True)]
            datas = [t.handle.data for t in _as_tuple(self.call(combine_fn, tuple(pairs), {}))]
        results = tuple(tensor_of(d.reshape(kept if keep_dims else rest), k)
                        for d, k in zip(datas, kinds, strict=True))
        for result in results if any(getattr(t.handle, "from_atomic", False) for t in tensors) else ():
            result.handle.from_atomic = True
        return results[0] if single else tl.tuple(list(results))

    def _scan(self, input: Any, axis: Any, combine_fn: Any, reverse: Any = False, *,
              _semantic: Any = None, _generator: Any = None) -> Any:
        single = isinstance(input, tl.core.tensor)
        tensors = (input,) if single else tuple(input)
        axis, reverse = _bare(axis), bool(_bare(reverse))
        kinds = [t.dtype for t in tensors]
        datas = [np.moveaxis(t.handle.data, axis, -1) for t in tensors]
        if reverse:
            datas = [d[..., ::-1] for d in datas]
        size, distance = datas[0].shape[-1], 1
        place = np.arange(size)
        while distance < size:
            shifted = [np.roll(d, distance, axis=-1) for d in datas]
            both = [tensor_of(d, k) for part in (shifted, datas) for d, k in zip(part, kinds, strict=True)]
            made = _as_tuple(self.call(combine_fn, tuple(both), {}))
            datas = [np.where(place >= distance, new.handle.data, old) for new, old in zip(made, datas, strict=True)]
            distance *= 2
        if reverse:
            datas = [d[..., ::-1] for d in datas]
        results = tuple(tensor_of(np.ascontiguousarray(np.moveaxis(d, -1, axis)), k)
                        for d, k in zip(datas, kinds, strict=True))
        return results[0] if single else tl.tuple(list(results))


_patched_nothing = object()


def _is_tritons(kernel: JITFunction) -> bool:
    return kernel.fn.__code__.co_filename.startswith(TRITON)


def _visible(name: str, value: Any, scope: dict[str, Any]) -> bool:
    """Whether Triton's compiler lets a kernel use a name from outside of it."""
    if isinstance(value, types.ModuleType):  # tl, math, a module of kernels
        return value.__name__.split(".")[0] in ("triton", "math") or any(
            isinstance(part, JITFunction) for part in vars(value).values())
    annotation = scope.get("__annotations__", {}).get(name, "")
    return (isinstance(value, (tl.constexpr, tl.dtype, triton_jit.JITCallable))
            or getattr(value, "__triton_builtin__", False) or getattr(value, "__triton_aggregate__", False)
            or (getattr(value, "__module__", None) or "").startswith("triton.language")
            or (isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields"))
            or "constexpr" in (annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")))


def _getattr(owner: Any, name: str, *default: Any) -> Any:
    if hidden(name):
        raise AttributeError(name)
    return getattr(owner, name, *default)


_BUILTINS = {"len": len, "list": list, "range": range, "float": float, "int": int, "isinstance": isinstance,
             "getattr": _getattr, "hasattr": hasattr, "print": lambda *values: None}


def _method(interpreter: Interpreter, function: JITFunction) -> Callable:
    return lambda value, *args, **kwargs: interpreter.call(function, (value, *args), kwargs)


def _beside_tensors(original: Callable) -> Callable:
    """A constant's operator that leaves a tensor on the other side to the tensor's own."""
    def operate(self: Any, other: Any) -> Any:
        return NotImplemented if isinstance(other, tl.core.tensor) else original(self, other)

    return operate


def _as_tuple(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (tuple, tl.tuple)) else (value,)


def _bare_all(values: tuple | None) -> tuple | None:
    return None if values is None else tuple(map(_bare, values))


def _static_assert(cond: Any, msg: Any = "", _semantic: Any = None) -> None:
    if not _bare(cond):
        if HOLE in str(_bare(msg)):
            raise NotImplementedError(HOLE)
        raise NotTriton(say(f"static_assert does not hold: {_bare(msg)}", f"static_assert 不成立：{_bare(msg)}"))


def _smallest(*values: Any) -> Any:
    return tl.minimum(*values) if any(isinstance(v, tl.core.tensor) for v in values) else min(*values)


def _largest(*values: Any) -> Any:
    return tl.maximum(*values) if any(isinstance(v, tl.core.tensor) for v in values) else max(*values)


_IR_NAMES = {"void": "void", "int1": "int1", "fp8e5": "fp8e5", "fp8e4nv": "fp8e4nv", "fp8e4b15": "fp8e4b15",
             "fp8e4b8": "fp8e4b8", "fp8e5b16": "fp8e5b16", "fp16": "half", "bf16": "bf16", "fp32": "float",
             "fp64": "double"}


def _dtype_to_ir(self: Any, builder: Any) -> Any:
    return getattr(builder, f"get_{_IR_NAMES.get(self.name, self.name)}_ty")()


@contextlib.contextmanager
def interpreting(interpreter: Interpreter) -> Iterator[Interpreter]:
    """While this is active, launching any ``@triton.jit`` function interprets it."""
    with _lock:
        before = {name: vars(JITFunction).get(name) for name in ("run", "__call__")}
        tuned = vars(Autotuner).get("run")

        def run(self: JITFunction, *args: Any, grid: Any, warmup: bool = False, **kwargs: Any) -> None:
            if not warmup:
                interpreter.launch(self, args, kwargs, grid)

        def call(self: JITFunction, *args: Any, **kwargs: Any) -> Any:
            if interpreter._running is None:
                raise RuntimeError("Cannot call @triton.jit'd outside of the scope of a kernel")
            return interpreter.call(self, args, kwargs)

        def tune(self: Autotuner, *args: Any, **kwargs: Any) -> Any:
            """Without a GPU nothing can be timed: one configuration is taken by the seed."""
            config = self.configs[int(interpreter.rng.integers(len(self.configs)))]
            if len(self.configs) > 1:
                interpreter.notes.append(say(f"autotune: only {config} of {len(self.configs)} was judged",
                                             f"autotune：{len(self.configs)} 个配置中只评判了 {config}"))
            if config.pre_hook is not None:
                config.pre_hook({**dict(zip(self.arg_names, args, strict=False)), **kwargs, **config.all_kwargs()})
            return self.fn.run(*args, **kwargs, **config.all_kwargs())

        JITFunction.run, JITFunction.__call__, Autotuner.run = run, call, tune
        try:
            yield interpreter
        finally:
            JITFunction.run, JITFunction.__call__ = before["run"], before["__call__"]
            Autotuner.run = tuned
