"""The memory that an interpreted kernel sees: exact extents of every argument, and shadows of every storage.

Each tensor argument gets a range of addresses of its own, so that an access beyond its view is found even
where another argument shares its storage. Nothing outside an argument is ever read or written.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ladder.kernel_judge.findings import Finding
from ladder.text import Text, say

REGION = 44  # bits of addresses for one argument
SECTOR = 5   # 32 bytes are what a GPU's memory moves at least
MAX_TRACE = 4000
NOBODY, SEVERAL = -1, -2


class Storage:
    """The bytes behind one or more tensors; one shadow entry for each unit (usually an element)."""

    def __init__(self, tensor: Any, origin: str, initialised: bool) -> None:
        held = tensor.untyped_storage()
        self.held = held  # keeps the memory, and so its address, from being used again
        self.origin = origin
        self.parents: list[Storage] = []  # whose numbers torch moved here
        self.floating = tensor.is_floating_point() or tensor.is_complex()
        self.unit = max(1, tensor.element_size())
        self.address, size = held.data_ptr(), held.nbytes()
        self.bytes = (np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(held.data_ptr()))
                      if size else np.zeros(0, np.uint8))
        units = -(-size // self.unit)
        self.initialised = np.full(units, initialised)
        self.by_kernel = np.zeros(units, bool)
        self.read = np.zeros(units, bool)
        self.seal()
        self.begin_launch()

    def seal(self) -> None:
        """Remember the bytes: whatever changes them from here on has to be seen."""
        if self._there():
            self.seen = self.bytes.copy()

    def sealed(self) -> bool:
        return not self._there() or bool(np.array_equal(self.bytes, self.seen))

    def _there(self) -> bool:
        """Torch may move or shrink a storage (``resize_``)."""
        return self.held.data_ptr() == self.address and self.held.nbytes() == len(self.bytes)

    def begin_launch(self) -> None:
        """Forget who wrote and read what: launches run one after the other."""
        units = len(self.initialised)
        self.writer = np.full(units, NOBODY, np.int32)
        self.reader = np.full(units, NOBODY, np.int32)
        self.write_time = np.zeros(units, np.int32)
        self.read_time = np.zeros(units, np.int32)
        self.atomic = np.zeros(units, bool)

    def lineage(self) -> Iterator[Storage]:
        """This storage and those whose numbers torch moved here, perhaps over several steps."""
        todo, seen = [self], {id(self)}
        while todo:
            one = todo.pop()
            yield one
            new = {id(parent): parent for parent in one.parents if id(parent) not in seen}
            seen |= set(new)
            todo += new.values()

    def refine(self) -> None:
        """Shadow each byte by itself, once an access of another size shows that units are too coarse."""
        if self.unit == 1:
            return
        for name in ("initialised", "by_kernel", "read", "writer", "reader", "write_time", "read_time", "atomic"):
            setattr(self, name, np.repeat(getattr(self, name), self.unit)[:len(self.bytes)])
        self.unit = 1

    def of_view(self, shadow: np.ndarray, tensor: Any) -> np.ndarray:
        """The entries of ``shadow`` that belong to the elements of ``tensor``, in its shape."""
        scale = max(1, tensor.element_size()) // self.unit
        if not tensor.numel():
            return shadow[:0]
        return np.lib.stride_tricks.as_strided(
            shadow[tensor.storage_offset() * scale:], tuple(tensor.shape),
            tuple(s * scale * shadow.itemsize for s in tensor.stride()))


class Argument:
    """One tensor argument of a launch: its addresses, and which of them are valid."""

    def __init__(self, name: str, number: int, tensor: Any, storage: Storage) -> None:
        self.name, self.storage = name, storage
        self.itemsize = max(1, tensor.element_size())
        self.shape, self.strides = tuple(tensor.shape), tuple(tensor.stride())
        self.start = tensor.storage_offset() * self.itemsize
        self.base = (number << REGION) + (1 << (REGION - 1)) + self.start % 4096
        elements = tensor.numel()
        self.span = 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)) if elements else 0
        self.valid: np.ndarray | None = None
        if elements and self.span != elements:  # a view with gaps, or one that repeats elements
            valid = np.zeros(self.span, bool)
            np.lib.stride_tricks.as_strided(valid, self.shape, self.strides)[...] = True
            self.valid = None if valid.all() else valid

    def inside(self, offsets: np.ndarray, size: int) -> np.ndarray:
        """Which accesses of ``size`` bytes, at ``offsets`` from the start, stay within the view."""
        ok = (offsets >= 0) & (offsets + size <= self.span * self.itemsize)
        if self.valid is not None:
            first = np.clip(offsets // self.itemsize, 0, self.span - 1)
            last = np.clip((offsets + size - 1) // self.itemsize, 0, self.span - 1)
            ok &= self.valid[first] & self.valid[last]
        return ok

    def tell(self, index: int) -> Text:
        """``x[100], valid 0..99``."""
        if not self.span:
            return say(f"{self.name}[{index}], which is empty", f"{self.name}[{index}]，它是空的")
        name = f"{self.name}[{index}]"
        if len(self.shape) > 1:
            shape = str(self.shape).replace(" ", "")
            if all(s > 0 for s in self.strides) and list(self.strides) == sorted(self.strides, reverse=True):
                rest, parts = index, []
                for stride in self.strides:
                    parts.append(rest // stride if stride else 0)
                    rest -= parts[-1] * stride
                name += f" = {self.name}[{', '.join(map(str, parts))}]"
            gaps = "" if self.valid is None else ", a view with gaps"
            gaps_zh = "" if self.valid is None else "，这个视图有间隔"
            return say(f"{name}, valid 0..{self.span - 1}, shape {shape}{gaps}",
                       f"{name}，有效范围 0..{self.span - 1}，形状 {shape}{gaps_zh}")
        return say(f"{name}, valid 0..{self.span - 1}", f"{name}，有效范围 0..{self.span - 1}")


@dataclass
class Access:
    """One load or store, for pictures."""

    program: int
    argument: str
    kind: str
    first: int
    last: int
    elements: int
    line: int
    places: np.ndarray


@dataclass
class Counts:
    """What a launch moved and computed."""

    bytes_loaded: int = 0
    bytes_stored: int = 0
    sectors_loaded: int = 0
    sectors_stored: int = 0
    atomics: int = 0
    dot_flops: int = 0
    programs: int = 0
    steps: int = 0
    masked_without_other: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where the kernel is: its name, the learner's line, the program."""

    kernel: str
    line: int
    source: str
    file: str
    program: tuple[int, int, int]


class Memory:
    """All storages and, during a launch, its arguments; every access goes through here."""

    def __init__(self, where: Callable[[], Place], trace: bool = False) -> None:
        self.where = where
        self.storages: dict[int, Storage] = {}
        self.arguments: dict[int, Argument] = {}
        self.findings: dict[tuple, Finding] = {}
        self.counts = Counts()
        self.trace: list[Access] | None = [] if trace else None
        self.program, self.time = 0, 0
        self.coordinates: list[tuple[int, int, int]] = []
        self.synced: dict[int, int] = {}   # up to when this program comes after another one
        self.pending: dict[int, int] = {}  # the same, once what an atomic returned has decided something
        self.released: dict[tuple[int, int], dict[int, int]] = {}
        self._unique: dict[tuple[int, bool], list[np.ndarray]] = {}

    # Storages and arguments

    def storage_of(self, tensor: Any) -> Storage | None:
        return self.storages.get(tensor.untyped_storage().data_ptr())

    def register(self, tensor: Any, origin: str, initialised: bool = True) -> Storage:
        """Know the storage of ``tensor``, which ``origin`` (input, empty, torch, foreign) made."""
        key = tensor.untyped_storage().data_ptr()
        if key not in self.storages:
            self.storages[key] = Storage(tensor, origin, initialised)
        return self.storages[key]

    def begin_launch(self, arguments: list[tuple[str, Any]]) -> list[int]:
        """Give each tensor argument its addresses; returns their bases."""
        self.arguments, self.released, self._unique = {}, {}, {}
        for number, (name, tensor) in enumerate(arguments, 1):
            storage = self.register(tensor, "foreign")
            if not storage.sealed():
                storage.seal()
                self.findings.setdefault(("ForeignData", name), Finding("ForeignData", say(
                    f"the numbers of {name} were changed, but neither by a kernel nor by torch",
                    f"{name} 中的数被修改了，但既不是由 kernel 也不是由 torch 修改的"), argument=name))
            if storage.unit != tensor.element_size():
                storage.refine()
            self.arguments[number] = Argument(name, number, tensor, storage)
        for storage in {id(a.storage): a.storage for a in self.arguments.values()}.values():
            storage.begin_launch()
        self.counts = Counts()
        return [argument.base for argument in self.arguments.values()]

    def end_launch(self) -> None:
        for storage in {id(a.storage): a.storage for a in self.arguments.values()}.values():
            if storage.by_kernel.any():
                storage.seal()

    def begin_program(self, program: int) -> None:
        self.program, self.synced, self.pending = program, {}, {}

    def decided(self) -> None:
        """What an atomic returned has decided where this program goes or what it touches."""
        for other, time in self.pending.items():
            self.synced[other] = max(time, self.synced.get(other, -1))
        self.pending = {}

    # Findings

    def find(self, kind: str, text: Text, argument: str = "", index: int | None = None) -> None:
        """Keep a finding at the present place; the same one at the same line only counts."""
        place = self.where()
        key = (kind, place.kernel, place.line, argument)
        if key in self.findings:
            self.findings[key] = replace(self.findings[key], times=self.findings[key].times + 1)
        else:
            self.findings[key] = Finding(kind, text, place.kernel, place.line, place.source, place.file,
                                         place.program, argument, index)

    # Accesses: addresses of active lanes only, as a flat int64 array

    def load(self, addresses: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The values at ``addresses``; what lies outside every argument reads as NaN or 0."""
        result = _poison(len(addresses), dtype, outside=True)
        if not len(addresses):
            return result
        self.time += 1
        self._count(addresses, dtype.itemsize, store=False)
        for argument, lanes, offsets in self._inside(addresses, dtype.itemsize, "reads", "读取"):
            storage, units, each = self._units(argument, offsets, dtype.itemsize)
            self._check_initialised(argument, storage, units, each, len(addresses))
            if storage.origin == "foreign":
                self.find("ForeignData", say(
                    f"reads {argument.name}, whose numbers come neither from an input nor from a kernel",
                    f"读取了 {argument.name}，其中的数既不来自输入，也不来自 kernel"), argument.name)
            self._check_read_race(argument, storage, units, each)
            reader = storage.reader[units]
            mine = (reader == NOBODY) | (reader == self.program)
            if self.synced and not mine.all() and self._ordered(reader[~mine], storage.read_time[units][~mine]):
                mine[:] = True
            storage.reader[units] = np.where(mine, self.program, SEVERAL)
            storage.read_time[units] = self.time
            storage.read[units] = True
            result[lanes] = _gather(storage.bytes, offsets + argument.start, dtype)
            self._note(argument, "load", offsets, store=False)
        return result

    def store(self, addresses: np.ndarray, values: np.ndarray) -> None:
        """Write ``values``; what lies outside every argument is dropped."""
        if not len(addresses):
            return
        self.time += 1
        size = values.dtype.itemsize
        self._count(addresses, size, store=True)
        for argument, lanes, offsets in self._inside(addresses, size, "writes", "写入"):
            storage, units, each = self._units(argument, offsets, size)
            written = values[lanes]
            self._check_lanes(argument, offsets, written)
            self._check_write_race(argument, storage, units, each, atomic=False)
            self._mark_written(storage, units, atomic=False)
            _scatter(storage.bytes, offsets + argument.start, written)
            self._note(argument, "store", offsets, store=True)

    def atomic(
        self, addresses: np.ndarray, dtype: np.dtype, acquires: bool, releases: bool, reads: bool,
        apply: Callable[[int, Any], Any],
    ) -> np.ndarray:
        """Change one place after the other by ``apply(lane, old)``; returns the old values."""
        result = _poison(len(addresses), dtype, outside=True)
        if not len(addresses):
            return result
        self.time += 1
        self.counts.atomics += len(addresses)
        self._count(addresses, dtype.itemsize, store=True)
        for argument, lanes, offsets in self._inside(addresses, dtype.itemsize, "changes", "修改"):
            storage, units, each = self._units(argument, offsets, dtype.itemsize)
            if acquires or releases:
                self._synchronise(storage, units[::each], acquires, releases)
            if reads:
                self._check_initialised(argument, storage, units, each, len(addresses))
                storage.read[units] = True
            self._check_write_race(argument, storage, units, each, atomic=True)
            self._mark_written(storage, units, atomic=True)
            for lane, offset in zip(np.flatnonzero(lanes), offsets, strict=True):
                at = np.array([offset + argument.start])
                old = _gather(storage.bytes, at, dtype)[0]
                result[lane] = old
                _scatter(storage.bytes, at, np.array([apply(int(lane), old)]).astype(dtype))
            self._note(argument, "atomic", offsets, store=True)
        return result

    def unique_bytes(self) -> dict[str, dict[str, int]]:
        """For each argument: bytes that some program read, that some program wrote, and its own size."""
        found: dict[str, dict[str, int]] = {}
        for argument in self.arguments.values():
            entry = found.setdefault(argument.name, {"read": 0, "written": 0, "sectors_read": 0,
                                                     "sectors_written": 0})
            for store, word in ((False, "read"), (True, "written")):
                parts = self._unique.get((id(argument), store))
                if parts:
                    places = np.unique(np.concatenate(parts))
                    entry[word] = len(places) * argument.itemsize
                    sectors = np.unique((places * argument.itemsize + argument.start % 32) >> SECTOR)
                    entry[f"sectors_{word}"] = len(sectors)
            count = math.prod(argument.shape)
            entry["size"] = (count if argument.valid is None and argument.span >= count
                             else argument.span if argument.valid is None
                             else int(argument.valid.sum())) * argument.itemsize
        return found

    # Parts of an access

    def _inside(self, addresses: np.ndarray, size: int, verb: str, verb_zh: str) -> Any:
        numbers = addresses >> REGION
        for number in np.unique(numbers):
            lanes = numbers == number
            argument = self.arguments.get(int(number))
            if argument is None:
                self.find("OutOfBounds", say(
                    f"{verb} {int(lanes.sum())} of {len(addresses)} active lanes far outside every argument",
                    f"{len(addresses)} 个活动通道中有 {int(lanes.sum())} 个{verb_zh}的地址远离所有参数"))
                continue
            offsets = addresses[lanes] - argument.base
            ok = argument.inside(offsets, size)
            if not ok.all():
                outside = offsets[~ok]
                near = np.where(outside < 0, -outside, outside - argument.span * argument.itemsize)
                index = int(outside[np.argmin(np.abs(near))] // argument.itemsize)
                told = argument.tell(index)
                self.find("OutOfBounds", say(
                    f"{verb} out of bounds: {len(outside)} of {len(addresses)} active lanes; nearest argument "
                    f"{told.en}",
                    f"越界{verb_zh}：{len(addresses)} 个活动通道中有 {len(outside)} 个；最近的参数是 {told.zh}"),
                    argument.name, index)
                lanes = lanes.copy()
                lanes[np.flatnonzero(lanes)[~ok]] = False
                offsets = offsets[ok]
            if len(offsets):
                yield argument, lanes, offsets

    def _units(self, argument: Argument, offsets: np.ndarray, size: int) -> tuple[Storage, np.ndarray, int]:
        """The shadow entries of accesses, and how many belong to each."""
        storage, places = argument.storage, offsets + argument.start
        if storage.unit != size or (places % size).any():
            storage.refine()
        if storage.unit == size:
            return storage, places // size, 1
        return storage, (places[:, None] + np.arange(size)).ravel(), size

    def _check_initialised(
        self, argument: Argument, storage: Storage, units: np.ndarray, each: int, active: int
    ) -> None:
        unset = ~storage.initialised[units]
        if unset.any():
            index = (int(units[np.argmax(unset)]) * storage.unit - argument.start) // argument.itemsize
            lanes = -(-int(unset.sum()) // each)
            self.find("UninitialisedRead", say(
                f"reads memory that nobody has written: {lanes} of {active} active lanes; {argument.name}[{index}]",
                f"读取了没有写过的内存：{active} 个活动通道中有 {lanes} 个；{argument.name}[{index}]"),
                argument.name, index)

    def _check_read_race(self, argument: Argument, storage: Storage, units: np.ndarray, each: int) -> None:
        writer = storage.writer[units]
        raced = (writer != NOBODY) & (writer != self.program)
        if raced.any() and not self._ordered(writer[raced], storage.write_time[units][raced]):
            at = int(np.argmax(raced))
            self._race("ReadRace", argument, storage, int(units[at]), int(writer[at]),
                       -(-int(raced.sum()) // each), "reads what {who} wrote", "读取了{who}写的内容")

    def _check_write_race(
        self, argument: Argument, storage: Storage, units: np.ndarray, each: int, atomic: bool
    ) -> None:
        writer = storage.writer[units]
        raced = (writer != NOBODY) & (writer != self.program)
        if atomic:
            raced &= ~storage.atomic[units]
        if raced.any() and not self._ordered(writer[raced], storage.write_time[units][raced]):
            at = int(np.argmax(raced))
            self._race("WriteRace", argument, storage, int(units[at]), int(writer[at]),
                       -(-int(raced.sum()) // each), "writes where {who} wrote too", "写入了{who}也写过的位置")
        reader = storage.reader[units]
        raced = (reader != NOBODY) & (reader != self.program)
        if raced.any() and not self._ordered(reader[raced], storage.read_time[units][raced]):
            at = int(np.argmax(raced))
            self._race("ReadRace", argument, storage, int(units[at]), int(reader[at]),
                       -(-int(raced.sum()) // each), "writes what {who} read in the same launch",
                       "写入了{who}在同一次启动中读过的内容")

    def _race(
        self, kind: str, argument: Argument, storage: Storage, unit: int, other: int, lanes: int,
        words: str, words_zh: str,
    ) -> None:
        index = (unit * storage.unit - argument.start) // argument.itemsize
        who = who_zh = ""
        if other >= 0:
            who = f"program {str(self.coordinates[other]).replace(' ', '')}"
            who_zh = f"程序 {str(self.coordinates[other]).replace(' ', '')} "
        else:
            who, who_zh = "several other programs", "其他多个程序"
        self.find(kind, say(f"{words.format(who=who)}: {argument.name}[{index}], {lanes} places",
                            f"{words_zh.format(who=who_zh)}：{argument.name}[{index}]，共 {lanes} 处"),
                  argument.name, index)

    def _check_lanes(self, argument: Argument, offsets: np.ndarray, written: np.ndarray) -> None:
        """Two lanes of one store may write one place only if they write the same."""
        places, first, inverse = np.unique(offsets, return_index=True, return_inverse=True)
        if len(places) == len(offsets):
            return
        size = written.dtype.itemsize
        raw = np.ascontiguousarray(written).view(np.uint8).reshape(len(written), size)
        differs = (raw != raw[first][inverse.reshape(-1)]).any(axis=1)
        if differs.any():
            index = int(offsets[np.argmax(differs)]) // argument.itemsize
            self.find("WriteRace", say(
                f"two lanes of one program write different values to {argument.name}[{index}]",
                f"同一个程序的两个通道向 {argument.name}[{index}] 写入不同的值"), argument.name, index)

    def _mark_written(self, storage: Storage, units: np.ndarray, atomic: bool) -> None:
        if atomic:
            writer = storage.writer[units]
            shared = (writer != NOBODY) & (writer != self.program)
            storage.writer[units] = np.where(shared, SEVERAL, self.program)
        else:
            storage.writer[units] = self.program
        storage.atomic[units] = atomic
        storage.write_time[units] = self.time
        storage.reader[units] = NOBODY  # whoever comes later must come after this write
        storage.initialised[units] = True
        storage.by_kernel[units] = True

    def _ordered(self, others: np.ndarray, times: np.ndarray) -> bool:
        """Whether atomics of this program came after all that ``others`` did at ``times``."""
        if not self.synced:
            return False
        return all(int(times[others == other].max()) <= (
            max(self.synced.values()) if other == SEVERAL else self.synced.get(int(other), -1)
        ) for other in np.unique(others))

    def _synchronise(self, storage: Storage, units: np.ndarray, acquires: bool, releases: bool) -> None:
        """An atomic orders this program after those that used the same place before it, if its result matters."""
        for unit in np.unique(units):
            seen = self.released.setdefault((id(storage), int(unit)), {})
            if acquires:
                for other, time in seen.items():
                    self.pending[other] = max(time, self.pending.get(other, -1))
            if releases:
                seen.update(self.synced)
                seen[self.program] = self.time

    def _count(self, addresses: np.ndarray, size: int, store: bool) -> None:
        places = np.unique(addresses)  # lanes that share a place move it once
        sectors = len(np.unique(places >> SECTOR))
        if store:
            self.counts.bytes_stored += len(places) * size
            self.counts.sectors_stored += sectors
        else:
            self.counts.bytes_loaded += len(places) * size
            self.counts.sectors_loaded += sectors

    def _note(self, argument: Argument, kind: str, offsets: np.ndarray, store: bool) -> None:
        places = offsets // argument.itemsize
        places = np.unique(places)
        self._unique.setdefault((id(argument), store), []).append(places)
        if self.trace is not None and len(self.trace) < MAX_TRACE:
            self.trace.append(Access(self.program, argument.name, kind, int(places[0]), int(places[-1]),
                                     len(offsets), self.where().line, places))


def _poison(n: int, dtype: np.dtype, outside: bool = False) -> np.ndarray:
    return np.zeros(n, dtype) if dtype.kind != "f" else np.full(n, np.nan, dtype)


def _gather(data: np.ndarray, places: np.ndarray, dtype: np.dtype) -> np.ndarray:
    size = dtype.itemsize
    if not (places % size).any():
        return data[:len(data) // size * size].view(dtype)[places // size]
    return data[places[:, None] + np.arange(size)].copy().view(dtype).reshape(-1)


def _scatter(data: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    size = values.dtype.itemsize
    if not (places % size).any():
        data[:len(data) // size * size].view(values.dtype)[places // size] = values
    else:
        data[places[:, None] + np.arange(size)] = np.ascontiguousarray(values).view(np.uint8).reshape(-1, size)
