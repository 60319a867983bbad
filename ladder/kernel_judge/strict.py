"""Run a launcher with its kernels interpreted strictly, and report what was found and what it cost.

``examine(launcher, *args)`` returns a :class:`Report`; ``strict(launcher, *args)`` returns the launcher's
outputs or raises the first finding, which is what a check in ``graders/`` observes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ladder.kernel_judge.findings import Finding, KernelError, error_of
from ladder.kernel_judge.interpreter import Interpreter, Launch, Limits, interpreting
from ladder.kernel_judge.memory import Access, Memory, Storage
from ladder.text import Text, say

EMPTY = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted")
CONSTANT = ("zeros_like", "new_zeros", "ones_like", "new_ones", "full_like", "new_full", "fill_", "zero_")
MOVES = {  # operations that compute nothing: they make, move or convert numbers
    "zeros", "zeros_like", "new_zeros", "ones", "ones_like", "new_ones", "full", "full_like", "new_full",
    "fill_", "zero_", "arange", "eye", "scalar_tensor", "tensor", "lift_fresh", "lift_fresh_copy",
    "clone", "copy_", "_to_copy", "to", "contiguous", "detach", "alias", "cat", "stack", "tril", "triu",
    "constant_pad_nd", "_local_scalar_dense", "resize_", "set_", "index_select", "index", "gather", "flip", "roll",
    "_pin_memory", "is_pinned", "equal", "is_same_size", "repeat", "expand_copy", "view_copy", "slice_scatter",
    "_unsafe_view", "_reshape_copy", "_reshape_alias", "record_stream", "normal_", "uniform_",
}
KEEPS = {"clone", "copy_", "_to_copy", "contiguous", "cat", "stack", "_unsafe_view"}  # a kernel's work stays its own
TO_PYTHON = {"tolist", "numpy", "item", "__array__", "__float__", "__int__", "__index__", "__complex__", "__format__",
             "__repr__", "apply_", "map_", "map2_", "__dlpack__", "untyped_storage", "storage"}
FEW = 4  # single numbers of 0-dimensional tensors that a launcher may look at


@dataclass
class Report:
    """What a strict run found: outputs, findings in order, and each launch with its counts."""

    outputs: Any
    findings: list[Finding]
    launches: list[Launch]
    hints: list[Text]
    library_calls: list[str]
    trace: list[Access] | None = None
    inputs_read: dict[str, bool] = field(default_factory=dict)

    @property
    def honest(self) -> bool:
        return not self.findings

    @property
    def facts(self) -> dict[str, Any]:
        """Counts over all launches, as plain data."""
        total = {name: sum(getattr(launch.counts, name) for launch in self.launches)
                 for name in ("bytes_loaded", "bytes_stored", "sectors_loaded", "sectors_stored",
                              "atomics", "dot_flops", "programs", "steps")}
        unique = [entry for launch in self.launches for entry in launch.unique.values()]
        total["unique_bytes_read"] = sum(entry["read"] for entry in unique)
        total["unique_bytes_written"] = sum(entry["written"] for entry in unique)
        total["unique_sectors"] = sum(entry["sectors_read"] + entry["sectors_written"] for entry in unique)
        total["launches"] = len(self.launches)
        moved = total["bytes_loaded"] + total["bytes_stored"]
        sectors = total["sectors_loaded"] + total["sectors_stored"]
        total["sector_use"] = moved / (32 * sectors) if sectors else 0.0
        needed = total["unique_bytes_read"] + total["unique_bytes_written"]
        total["rereads"] = moved / needed if needed else 0.0
        total["flops_per_byte"] = total["dot_flops"] / needed if needed else 0.0
        return total

    def as_data(self) -> dict[str, Any]:
        return {
            "findings": [finding.as_data() for finding in self.findings],
            "facts": self.facts,
            "launches": [{
                "kernel": launch.name, "grid": list(launch.grid), "options": _plain(launch.options),
                "constants": _plain(launch.constants), "counts": vars(launch.counts), "unique": launch.unique,
            } for launch in self.launches],
            "hints": [hint.en for hint in self.hints],
            "library_calls": self.library_calls,
            "inputs_read": self.inputs_read,
        }

    def raise_first(self) -> None:
        if self.findings:
            raise error_of(self.findings[0])


def strict(launcher: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The outputs of ``launcher(*args, **kwargs)`` interpreted; raises the first finding."""
    report = examine(launcher, *args, **kwargs)
    report.raise_first()
    return report.outputs


def examine(launcher: Callable[..., Any], *args: Any, **kwargs: Any) -> Report:
    """Interpret ``launcher(*args, **kwargs)`` with the usual settings."""
    return Examiner()(launcher, *args, **kwargs)


@dataclass
class Examiner:
    """Settings of a strict run; call it with a launcher and its arguments.

    ``allow`` names torch operations that the launcher may compute with (``"sum"`` for a split-K);
    ``reads_all`` asks that every tensor argument is read by some kernel.
    """

    seed: int | None = None  # of the order of programs; by default torch's own, which checks set
    limits: Limits = field(default_factory=Limits)
    allow: tuple[str, ...] = ()
    reads_all: bool = True
    trace: bool = False

    def __call__(self, launcher: Callable[..., Any], *args: Any, **kwargs: Any) -> Report:
        seed = torch.initial_seed() % 2**32 if self.seed is None else self.seed
        interpreter = Interpreter(seed, self.limits, self.trace)
        memory = interpreter.memory
        inputs = {name: leaf for name, leaf in _inputs(args, kwargs)}
        for tensor in inputs.values():
            memory.register(tensor, "input")
        before = {name: tensor.clone() for name, tensor in inputs.items()}
        watch = _Watch(interpreter, self.allow)
        outputs, stopped = None, None
        try:
            with interpreting(interpreter), watch, _Hands(watch):
                outputs = launcher(*args, **kwargs)
        except KernelError as error:
            stopped = error.finding
        findings = list(memory.findings.values())
        if stopped is not None and stopped not in findings:
            findings.append(stopped)
        if stopped is None:
            watch.verify([*inputs.values(), *(t for t in tree_leaves(outputs) if isinstance(t, torch.Tensor))])
            findings += watch.findings
            findings += self._proof_of_work(interpreter, inputs, before, outputs)
        read = {name: _was_read(memory, tensor) for name, tensor in inputs.items()}
        return Report(outputs, findings, interpreter.launches, _hints(interpreter, outputs),
                      watch.calls, memory.trace, read)

    def _proof_of_work(
        self, interpreter: Interpreter, inputs: dict[str, Any], before: dict[str, Any], outputs: Any
    ) -> list[Finding]:
        """Whether the outputs are the work of the launched kernels, on all inputs."""
        if not interpreter.launches:
            return [Finding("NoLaunch", say("no kernel was launched", "没有启动任何 kernel"))]
        found = []
        memory, last = interpreter.memory, interpreter.launches[-1].name
        results = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]
        if outputs is None:  # an in-place launcher: what it wrote is its output
            results = [t for t in inputs.values() if _written(memory.storage_of(t))]
        if not results:
            found.append(Finding("UnwrittenOutput", say("the launcher returned no tensor", "启动函数没有返回张量")))
        for number, tensor in enumerate(results):
            if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
                found.append(Finding("LazyOutput", say(
                    f"output {number} is a {type(tensor).__name__}, no plain tensor",
                    f"输出 {number} 的类型是 {type(tensor).__name__}，不是普通张量"), last))
            if not tensor.numel():
                continue
            name = "the output" if len(results) == 1 else f"output {number}"
            name_zh = "输出" if len(results) == 1 else f"输出 {number}"
            storage = memory.storage_of(tensor)
            if storage is None or (not _written(storage) and (
                    storage.origin != "empty" or _of_view(storage, storage.initialised, tensor).all())):
                same = next((n for n, t in inputs.items() if t.untyped_storage().data_ptr()
                             == tensor.untyped_storage().data_ptr()), None)
                what = f" (it is the input {same})" if same else ""
                what_zh = f"（它就是输入 {same}）" if same else ""
                found.append(Finding("UnwrittenOutput", say(
                    f"{name} was not written by a kernel{what}", f"{name_zh}不是由 kernel 写入的{what_zh}"), last))
                continue
            by_kernel = _of_view(storage, storage.by_kernel, tensor)
            lost = ~by_kernel
            if storage.origin == "input":  # an update in place; what it left alone is compared below
                lost[...] = False
            elif not storage.parents:  # torch.zeros and a kernel that writes some of it
                lost &= ~_of_view(storage, storage.initialised, tensor)
            if lost.any():
                first = tuple(int(i) for i in np.argwhere(lost)[0])
                index = str(list(first)).replace(" ", "") if by_kernel.ndim else ""
                missing = int(lost.sum())
                found.append(Finding("UnwrittenOutput", say(
                    f"{missing} of {by_kernel.size} numbers of {name} were never written; the first is {index}",
                    f"{name_zh}的 {by_kernel.size} 个数中有 {missing} 个从未写入；第一个是 {index}"), last))
        for name, tensor in inputs.items() if self.reads_all else ():
            storage = memory.storage_of(tensor)
            if tensor.numel() and not _was_read(memory, tensor) and not _written(storage):
                found.append(Finding("UnreadInput", say(f"no kernel reads the input {name}",
                                                        f"没有 kernel 读取输入 {name}"), last))
        for name, tensor in inputs.items():
            storage = memory.storage_of(tensor)
            if storage is not None and tensor.numel() and _changed(tensor, before[name], _of_view(storage, storage.by_kernel, tensor)):
                found.append(Finding("ForeignData", say(f"the input {name} was changed, but by no kernel",
                                                        f"输入 {name} 被修改，但不是由 kernel 修改的"), last))
        return found


def _written(storage: Storage | None) -> bool:
    return storage is not None and bool(storage.by_kernel.any())


def _was_read(memory: Memory, tensor: Any) -> bool:
    """Whether a kernel read ``tensor``, or a copy that torch made of it."""
    own = memory.storage_of(tensor)
    return own is not None and (bool(_of_view(own, own.read, tensor).any()) or any(
        storage.read.any() and storage is not own and own in storage.lineage() for storage in memory.storages.values()))


def _of_view(storage: Storage, shadow: np.ndarray, tensor: Any) -> np.ndarray:
    if max(1, tensor.element_size()) % storage.unit:
        return shadow[:1].repeat(tensor.numel()).reshape(tensor.shape) & shadow.all()
    return storage.of_view(shadow, tensor)


def _changed(now: Any, before: Any, by_kernel: np.ndarray) -> bool:
    """Whether numbers changed that no kernel wrote."""
    same = (now == before) | ((now != now) & (before != before))
    return bool((~same & ~torch.from_numpy(np.array(by_kernel))).any())


def _inputs(args: tuple, kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
    found = []
    for label, value in [*((f"{i + 1}", a) for i, a in enumerate(args)), *kwargs.items()]:
        leaves = [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]
        found += [(label if len(leaves) == 1 else f"{label}.{k}", leaf) for k, leaf in enumerate(leaves)]
    return found


def _hints(interpreter: Interpreter, outputs: Any) -> list[Text]:
    hints = list(interpreter.notes)
    lines = sorted({line for launch in interpreter.launches for line in launch.counts.masked_without_other})
    leaves = [t for t in tree_leaves(outputs) if isinstance(t, torch.Tensor) and t.is_floating_point()]
    if lines and any(bool(torch.isnan(t).any()) for t in leaves):
        where = ", ".join(map(str, lines))
        hints.append(say(f"the output holds NaN, and masked lanes are loaded without other= (line {where}): "
                         "what they hold is undefined",
                         f"输出中有 NaN，而第 {where} 行的 load 有 mask 却没有 other=：被屏蔽的通道内容未定义"))
    return hints


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, (int, float, str, bool, type(None))) else str(value)
            for name, value in values.items()}


class _Watch(TorchDispatchMode):
    """Sees each torch operation of a launcher: fresh memory becomes NaN, arithmetic is noted."""

    def __init__(self, interpreter: Interpreter, allow: tuple[str, ...]) -> None:
        super().__init__()
        self.interpreter, self.allow = interpreter, set(allow)
        self.calls: list[str] = []
        self.findings: list[Finding] = []
        self.busy = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        self.busy = True
        try:
            self.verify(given)
            result = func(*args, **kwargs)
            self._see(func, args, kwargs, given, result)
        finally:
            self.busy = False
        return result

    def _see(self, func: Any, args: Any, kwargs: Any, given: list[Any], result: Any) -> None:
        name = func.overloadpacket.__name__
        memory = self.interpreter.memory
        made = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor) and t.device.type == "cpu"]
        if name in EMPTY:
            for tensor in made:
                if memory.storage_of(tensor) is None:
                    storage = memory.register(tensor, "empty", initialised=False)
                    _poison(storage, tensor)
                    storage.seal()
            return
        computes = self._computes(func, name, given)
        if computes and name not in self.allow:
            self._note(name)
        sources = [] if name in CONSTANT else [s for t in given if (s := memory.storage_of(t)) is not None]
        foreign = (computes and name not in self.allow) or name == "lift_fresh"  # from Python or NumPy
        read = given[1:] if name == "copy_" else given
        kept = name in KEEPS and bool(read) and all(self._by_kernel(t) for t in read)
        for tensor in made:
            table = not tensor.is_floating_point() and tensor.element_size() > 1  # offsets, lengths
            fresh = memory.storage_of(tensor) is None
            storage = memory.register(tensor, "foreign" if foreign and not table else "torch")
            storage.parents += [s for s in sources if s is not storage]
            if fresh and kept:
                storage.of_view(storage.by_kernel, tensor)[...] = True
        for tensor, argument in zip(args, func._schema.arguments, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write and isinstance(tensor, torch.Tensor):
                self._torch_wrote(tensor, sources, kept)
        if isinstance(kwargs.get("out"), torch.Tensor):
            self._torch_wrote(kwargs["out"], sources, False)

    def verify(self, tensors: list[Any]) -> None:
        """Whether these tensors hold what kernels and torch wrote there."""
        for tensor in tensors:
            storage = self.interpreter.memory.storage_of(tensor) if tensor.device.type == "cpu" else None
            if storage is not None and not storage.sealed():
                storage.seal()
                self.findings.append(Finding("ForeignData", say(
                    "the numbers of a tensor were changed, but neither by a kernel nor by torch",
                    "某个张量中的数被修改了，但既不是由 kernel 也不是由 torch 修改的")))

    def _by_kernel(self, tensor: Any) -> bool:
        storage = self.interpreter.memory.storage_of(tensor)
        return storage is not None and storage.origin != "input" and bool(
            _of_view(storage, storage.by_kernel, tensor).all())

    def _torch_wrote(self, tensor: Any, sources: list[Storage], kept: bool) -> None:
        storage = self.interpreter.memory.storage_of(tensor)
        if storage is None:
            return
        storage.seal()
        storage.parents += [source for source in sources if source is not storage]
        if max(1, tensor.element_size()) % storage.unit == 0:
            storage.of_view(storage.initialised, tensor)[...] = True
            storage.of_view(storage.by_kernel, tensor)[...] = kept

    def _computes(self, func: Any, name: str, given: list[Any]) -> bool:
        if name in MOVES or (func.is_view if hasattr(func, "is_view") else False):
            return False
        if any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns):
            return False  # a view
        return any(map(self.data, given))

    def data(self, tensor: Any) -> bool:
        """Whether a tensor holds what kernels are to compute with, not offsets or lengths."""
        if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.int8:
            return True
        storage = self.interpreter.memory.storage_of(tensor)
        return storage is not None and any(
            s.floating and (s.origin == "input" or s.by_kernel.any()) for s in storage.lineage())

    def _note(self, name: str, text: Text | None = None) -> None:
        self.calls.append(name)
        if all(f.argument != name for f in self.findings):
            self.findings.append(Finding("LibraryCall", text or say(
                f"the launcher computes with torch's {name}; the work belongs in the kernel",
                f"启动函数使用了 torch 的 {name} 来计算；这些工作应当由 kernel 完成"), argument=name))


class _Hands(TorchFunctionMode):
    """Sees where a launcher takes a tensor's numbers into Python, where no operation of torch's would show them."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self.watch, self.single = watch, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in TO_PYTHON and self.watch.interpreter._running is None and not self.watch.busy:
            self._asked(name, args[0])
        return func(*args, **(kwargs or {}))

    def _asked(self, name: str, tensor: Any) -> None:
        if name in self.watch.allow or not isinstance(tensor, torch.Tensor) or not self.watch.data(tensor):
            return
        storage = self.watch.interpreter.memory.storage_of(tensor)
        if tensor.numel() == 1 and storage is not None and len(storage.bytes) == tensor.element_size():
            self.single += 1
            if self.single <= FEW and (storage.origin == "input" or storage.by_kernel.any()):
                return
        self.watch._note(name, say(f"the launcher takes numbers out of a tensor with {name}; the work belongs in the kernel",
                                   f"启动函数用 {name} 从张量中取出数；这些工作应当由 kernel 完成"))


def _poison(storage: Storage, tensor: Any) -> None:
    """Fill fresh memory with NaN, or with a number that is surely wrong."""
    if tensor.dtype == torch.bfloat16:
        storage.bytes.view(np.uint16)[:] = 0x7FC0
    elif tensor.is_floating_point() and tensor.element_size() > 1:
        storage.bytes.view(f"f{tensor.element_size()}")[:] = np.nan
    elif tensor.is_floating_point():
        storage.bytes[:] = 0x7F
    elif tensor.dtype != torch.bool:
        storage.bytes[:] = 0xA5
