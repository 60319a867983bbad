"""The GPU verdict: the same cases compiled and run, and speeds as ratios measured side by side.

What a launcher does to clocks, streams and caches does not help it: time is read from functions saved when
this module was imported, between two moments at which the whole device is idle, so work on any stream counts;
each call gets inputs made afresh and not in the L2 cache; what the timed calls returned is copied at the end
of the time and compared; and a time in which the bytes cannot have moved is refused.

All that touches a GPU is in :class:`CudaDevice`; the logic takes any :class:`Device`, so tests bring their own.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import statistics
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch.utils._pytree import tree_leaves, tree_map

from ladder.kernel_judge.agreement import compare
from ladder.kernel_judge.findings import Finding
from ladder.text import Text, say

_CLOCK = time.perf_counter
_SYNCHRONISE = getattr(torch._C, "_cuda_synchronize", None)

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not_checked"
SHORTEST = 50e-6  # seconds; below, the time is that of launching
SLACK = 0.93  # of the floor: data sheets and clocks are not exact
REPEATS, CALLS = 11, 8
ENOUGH = 4e-3  # seconds that one repeat should take
PEAKS = (  # part of the name, dense FLOPs a second on 16-bit tensor cores, bytes a second; vendor's data sheets
    ("B200", 2250e12, 8.0e12), ("H200", 989e12, 4.8e12), ("H100 PCIe", 756e12, 2.04e12), ("H100 NVL", 835e12, 3.94e12),
    ("H100", 989e12, 3.35e12), ("A100-SXM4-80GB", 312e12, 2.04e12), ("A100 80GB", 312e12, 1.94e12),
    ("A100", 312e12, 1.56e12), ("L40", 362e12, 0.864e12), ("L4", 121e12, 0.3e12), ("T4", 65e12, 0.32e12),
    ("RTX 4090", 330e12, 1.01e12), ("RTX 3090", 142e12, 0.94e12),
)
NEEDS_GPU = say("needs a GPU", "需要 GPU")


class Device(Protocol):
    """A GPU as the timing sees it."""

    name: str
    capability: int
    torch: torch.device
    bandwidth: float  # bytes a second at most, 0 if not known
    flops: float  # a second at most, 0 if not known
    l2: int  # bytes
    memory: int  # bytes
    versions: dict[str, str]

    def clock(self) -> float: ...  # seconds

    def synchronize(self) -> None: ...  # until every stream of the device is idle

    def flush(self) -> None: ...  # nothing of before stays in the L2 cache


class CudaDevice:
    """The current CUDA device."""

    clock = staticmethod(_CLOCK)

    def __init__(self) -> None:
        import triton

        torch.cuda.init()
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        self.name = properties.name
        self.capability = 10 * properties.major + properties.minor
        self.torch = torch.device("cuda", torch.cuda.current_device())
        self.flops, self.bandwidth = peaks(self.name)
        if not self.bandwidth:  # both edges of the memory's clock carry a bit
            self.bandwidth = 2e3 * getattr(properties, "memory_clock_rate", 0) * (
                getattr(properties, "memory_bus_width", 0) / 8)
        self.l2 = int(getattr(properties, "L2_cache_size", 0)) or 64 << 20
        self.memory = int(properties.total_memory)
        self.versions = {"torch": torch.__version__, "triton": triton.__version__,
                         "cuda": str(torch.version.cuda)}
        self._wash = torch.empty(4 * self.l2 // 4, dtype=torch.int32, device=self.torch)

    def synchronize(self) -> None:
        assert _SYNCHRONISE is not None
        _SYNCHRONISE()

    def flush(self) -> None:
        self._wash.zero_()


def peaks(name: str) -> tuple[float, float]:
    """FLOPs and bytes a second of the GPU of this name, from data sheets; zeros if it is not known."""
    return next(((flops, bandwidth) for part, flops, bandwidth in PEAKS if part in name), (0.0, 0.0))


def here() -> CudaDevice | None:
    """The GPU of this machine, if it has one and its clock was not replaced before this module was imported."""
    if not torch.cuda.is_available() or torch.version.cuda is None or _SYNCHRONISE is None:
        return None
    return CudaDevice() if isinstance(_CLOCK, types.BuiltinFunctionType) else None


@dataclass
class Speed:
    """What to time: ``make(generator)`` gives fresh arguments of a call, on the generator's device.

    ``baselines`` are called with the same arguments; the first also says what is right. ``moved`` is the
    bytes that must move (by default each argument and each output once), ``flops`` those of tensor cores.
    ``targets`` are ratios to reach: how many times the speed of a baseline, or of "copy".
    """

    label: Text | str
    make: Callable[[torch.Generator], tuple]
    baselines: Mapping[str, Callable[..., Any]]
    moved: int | None = None
    flops: float = 0.0
    targets: Mapping[str, float] = field(default_factory=dict)
    tolerance: float | None = None
    expected: Callable[..., Any] | None = None


@dataclass
class Timing:
    """What timing found: seconds a call (the median), and the ratio to each baseline; above 1 is faster."""

    label: str
    state: str
    reason: Text | None = None
    seconds: float = 0.0
    spread: tuple[float, float] = (0.0, 0.0)
    floor: float = 0.0
    moved: int = 0
    flops: float = 0.0
    baselines: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)
    problems: list[Finding] = field(default_factory=list)

    @property
    def reached(self) -> dict[str, bool | None]:
        """Whether each target is met; None where nothing can be said."""
        return {name: self.ratios[name] >= wanted if self.state == PASSED and name in self.ratios else None
                for name, wanted in self.targets.items()}

    def as_data(self) -> dict[str, Any]:
        return {**vars(self), "reason": None if self.reason is None else self.reason.en,
                "problems": [problem.as_data() for problem in self.problems], "reached": self.reached}


@dataclass
class GpuCase:
    """One case compiled and run: the relative error of each output."""

    label: str
    errors: list[float]
    problems: list[Finding]

    def as_data(self) -> dict[str, Any]:
        return {"label": self.label, "passed": not self.problems, "errors": self.errors,
                "problems": [problem.as_data() for problem in self.problems]}


@dataclass
class GpuVerdict:
    """What one GPU showed; apart from all that needs none."""

    state: str
    reason: Text | None = None
    name: str = ""
    capability: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    cases: list[GpuCase] = field(default_factory=list)
    speed: list[Timing] = field(default_factory=list)

    def as_data(self) -> dict[str, Any]:
        return {"state": self.state, "reason": None if self.reason is None else self.reason.en, "name": self.name,
                "capability": self.capability, "versions": self.versions,
                "cases": [case.as_data() for case in self.cases], "speed": [t.as_data() for t in self.speed]}


def judge_gpu(
    launcher: Callable[..., Any], cases: Sequence[tuple[Any, bool]], speeds: Sequence[Speed], device: Device | None,
) -> GpuVerdict:
    """Run ``cases``, each with whether it multiplied with ``tl.dot``, and time ``speeds``, on ``device``.

    Speeds are timed only if every case was right.
    """
    if device is None:
        return GpuVerdict(NOT_CHECKED, NEEDS_GPU)
    verdict = GpuVerdict(PASSED, None, device.name, device.capability, dict(device.versions))
    verdict.cases = [run_case(device, launcher, case, dots) for case, dots in cases]
    right = not any(case.problems for case in verdict.cases)
    verdict.speed = [time_speed(device, launcher, speed) for speed in speeds] if right else []
    if not right or any(timing.state == FAILED for timing in verdict.speed):
        verdict.state = FAILED
    elif not verdict.cases and not verdict.speed:
        verdict.state, verdict.reason = NOT_CHECKED, say("no case was given", "没有给出用例")
    return verdict


def run_case(device: Device, launcher: Callable[..., Any], case: Any, dots: bool) -> GpuCase:
    """One case compiled: in memory full of NaN where nobody wrote, compared with what is expected."""
    label = case.label if isinstance(case.label, str) else case.label.en
    args, kwargs = to_device((case.args, case.kwargs), device.torch)
    try:
        with unwritten_is_nan():
            outputs = launcher(*args, **kwargs)
            device.synchronize()
            problems = lazy(outputs, device)
            if outputs is not None and not problems:
                outputs = tree_map(lambda t: t.detach().cpu() if isinstance(t, torch.Tensor) else t, outputs)
    except Exception as error:
        return GpuCase(label, [], [_stopped(error)])
    if problems or case.expected is None or outputs is None:
        return GpuCase(label, [], problems)
    return GpuCase(label, *compare(outputs, case.expected, case.tolerance, dots))


def _stopped(error: Exception) -> Finding:
    message = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return Finding("GpuError", say(f"stops on the GPU: {message}", f"在 GPU 上出错：{message}"))


@contextlib.contextmanager
def unwritten_is_nan() -> Iterator[None]:
    """While this is active, torch fills fresh memory with NaN."""
    deterministic: Any = importlib.import_module("torch.utils.deterministic")
    before = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled(),
              deterministic.fill_uninitialized_memory)
    torch.use_deterministic_algorithms(True, warn_only=True)
    deterministic.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        deterministic.fill_uninitialized_memory = before[2]


def to_device(tree: Any, device: torch.device) -> Any:
    """Copies of all tensors on ``device``, with the strides and the sharing that they had."""
    known: dict[int, torch.Tensor] = {}

    def moved(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        storage = value.untyped_storage()
        if storage.data_ptr() not in known:
            flat = torch.empty(0, dtype=torch.uint8, device=value.device).set_(storage)
            known[storage.data_ptr()] = flat.to(device, copy=True)
        made = torch.empty(0, dtype=value.dtype, device=device)
        made.set_(known[storage.data_ptr()].untyped_storage(), value.storage_offset(),
                  value.shape, value.stride())
        return made.requires_grad_(value.requires_grad)

    return tree_map(moved, tree)


def lazy(outputs: Any, device: Device) -> list[Finding]:
    """What is not a plain tensor of the device may compute only when it is read."""
    for leaf in tree_leaves(outputs):
        if leaf is None or isinstance(leaf, (bool, int, float)):
            continue
        if type(leaf) not in (torch.Tensor, torch.nn.Parameter) or leaf.device.type != device.torch.type:
            kind = f"{type(leaf).__module__}.{type(leaf).__qualname__}"
            return [Finding("LazyOutput", say(f"returned a {kind}, not a tensor on the GPU",
                                              f"返回的是 {kind}，而不是 GPU 上的张量"))]
    return []


@dataclass
class _Run:
    """One repeat: seconds a call, and of one call its arguments as they were, and what it gave."""

    seconds: float
    args: tuple
    outputs: Any
    problems: list[Finding]


def run_once(
    device: Device, call: Callable[..., Any], make: Callable[[torch.Generator], tuple], generator: torch.Generator,
    calls: int, pick: int,
) -> _Run:
    """Time ``calls`` calls, each on arguments made for it and out of the L2 cache, from an idle device to an idle one."""
    arguments = [make(generator) for _ in range(calls)]
    before = to_device(arguments[pick], device.torch)
    device.flush()
    device.synchronize()
    begin = device.clock()
    results = [call(*args) for args in arguments]
    device.synchronize()
    took = device.clock() - begin
    outputs = arguments[pick] if results[pick] is None else results[pick]  # an update in place
    problems = [problem for result in results for problem in lazy(result, device)][:1]
    if not problems:
        outputs = tree_map(lambda t: t.detach().clone() if isinstance(t, torch.Tensor) else t, outputs)
    return _Run(took / calls, before, outputs, problems)


def time_speed(device: Device, launcher: Callable[..., Any], speed: Speed, repeats: int = REPEATS) -> Timing:
    """Time the launcher, its baselines and a copy of as many bytes, in turns, and judge the time."""
    label = speed.label if isinstance(speed.label, str) else speed.label.en
    try:
        return _time_speed(device, launcher, speed, label, repeats)
    except Exception as error:
        return Timing(label, FAILED, problems=[_stopped(error)])


def _time_speed(
    device: Device, launcher: Callable[..., Any], speed: Speed, label: str, repeats: int
) -> Timing:
    generator = torch.Generator(device.torch)
    generator.manual_seed(random.SystemRandom().getrandbits(62))  # not to be foreseen
    chance = random.SystemRandom()
    right = speed.expected or next(iter(speed.baselines.values()), None)
    first = run_once(device, launcher, speed.make, generator, 1, 0)  # compiles
    if first.problems:
        return Timing(label, FAILED, problems=first.problems)
    read, written = _bytes(first.args), _bytes(first.outputs)
    moved = read + written if speed.moved is None else speed.moved
    warm = run_once(device, launcher, speed.make, generator, 1, 0)
    calls = calls_in(warm.seconds, read + written, device.memory)
    numbers = max(1, moved // 8)

    def numbers_to_copy(generator: torch.Generator) -> tuple:
        return (torch.empty(numbers, dtype=torch.float32, device=device.torch).fill_(1.0),)

    contenders: dict[str, tuple[Callable[..., Any], Callable]] = {
        "": (launcher, speed.make), "copy": (torch.clone, numbers_to_copy)}
    contenders |= {name: (call, speed.make) for name, call in speed.baselines.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    problems: list[Finding] = []
    for repeat in range(repeats + 1):  # the first fills the allocator's cache and is not counted
        for name, (call, make) in contenders.items():
            pick = chance.randrange(calls) if repeat % 2 else calls - 1  # the last: nobody comes after it to finish it
            run = None
            try:
                run = run_once(device, call, make, generator, calls, pick)
                if name == "" and not problems:
                    problems = run.problems or (_wrong(run, right, speed) if right is not None else [])
            except Exception as error:
                if name == "" and run is None:
                    raise
                return _no_baseline(label, name or "that says what is right", error)  # no fault of the launcher's
            if repeat:
                times[name].append(run.seconds)
    median = {name: statistics.median(found) for name, found in times.items()}
    ours = median.pop("")
    timing = Timing(label, PASSED, None, ours, (min(times[""]), max(times[""])), moved=moved, flops=speed.flops,
                    baselines=median, targets=dict(speed.targets), problems=problems)
    timing.floor = floor(device, timing, read, written, calls, exact=speed.moved is not None)
    fastest = min(times[""])
    if fastest < SLACK * timing.floor:
        problems.append(Finding("TooFast", say(
            f"{_told(fastest)} a call, but {moved:,} bytes and {speed.flops:,.0f} FLOPs take {device.name} "
            f"at least {_told(timing.floor)}: the work was not done within the time",
            f"每次调用 {_told(fastest)}，但 {device.name} 处理 {moved:,} 字节和 {speed.flops:,.0f} FLOPs "
            f"至少需要 {_told(timing.floor)}：计时期间并没有完成这些工作")))
    if problems:
        timing.state = FAILED
    elif ours < SHORTEST:
        timing.state = NOT_CHECKED
        timing.reason = say(f"{_told(ours)} a call: below 50 us the launch is what is timed",
                            f"每次调用 {_told(ours)}：低于 50 us 时测到的是启动开销")
    if timing.state != FAILED:
        timing.ratios = {name: theirs / ours for name, theirs in median.items()}
    return timing


def _no_baseline(label: str, name: str, error: Exception) -> Timing:
    message = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return Timing(label, NOT_CHECKED, say(f"the baseline {name} stops here: {message}",
                                          f"基线 {name} 在这里出错：{message}"))


def calls_in(seconds: float, size: int, memory: int) -> int:
    """How many calls one repeat makes: enough that launching does not count, and all their arrays fit."""
    fitting = int(0.3 * memory / max(1, size))
    return max(1, min(CALLS, fitting, int(ENOUGH / max(seconds, 1e-9)) + 1))


def floor(device: Device, timing: Timing, read: int, written: int, calls: int, exact: bool) -> float:
    """Seconds that the device needs at least: inputs come from memory, outputs may stay in the L2 cache."""
    staying = min(timing.moved if exact else written, device.l2 // calls)
    bandwidth = device.bandwidth or 1.25 * timing.moved / timing.baselines["copy"]
    compute = timing.flops / (2 * device.flops) if device.flops else 0.0  # float8 is twice as fast as 16 bits
    return max((timing.moved - staying) / bandwidth, compute)


def _wrong(run: _Run, right: Callable[..., Any], speed: Speed) -> list[Finding]:
    expected = right(*run.args)
    return compare(run.outputs, run.args if expected is None else expected, speed.tolerance, speed.flops > 0)[1]


def _bytes(tree: Any) -> int:
    """Bytes of the tensors in ``tree``, what they share counted once."""
    found: dict[int, int] = {}
    for leaf in tree_leaves(tree):
        if isinstance(leaf, torch.Tensor):
            storage = leaf.untyped_storage()
            size = min(leaf.numel() * leaf.element_size(), storage.nbytes())
            found[storage.data_ptr()] = max(found.get(storage.data_ptr(), 0), size)
    return sum(found.values())


def _told(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:,.2f} ms"
