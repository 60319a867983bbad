"""The compile gate and what the compiled code shows, without a GPU.

Each kernel is compiled ahead of time for every architecture asked for, in a forked process with a cache of
its own: a crash of the compiler, or its messages, never reach the notebook, and a cached cubin cannot hide a
failure. Spills are counted by ptxas and again as local loads and stores in the machine code.
"""

from __future__ import annotations

import contextlib
import json
import linecache
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ladder.kernel_judge.findings import Finding
from ladder.kernel_judge.interpreter import Launch
from ladder.text import Text, as_text, say

ARCHITECTURES = (80, 90)
SECONDS = 120.0
SHARED = {80: 166_912, 86: 101_376, 89: 101_376, 90: 232_448, 100: 232_448, 103: 232_448, 120: 101_376}
PASSED, FAILED = "passed", "failed"


@dataclass(frozen=True)
class Compiled:
    """What one kernel became on one architecture, or why it became nothing."""

    kernel: str
    arch: int
    failure: Finding | None = None
    registers: int = 0
    shared: int = 0
    stack: int = 0
    spill_bytes: int = 0
    local_instructions: int = 0
    tensor_cores: str = ""
    tensor_instructions: int = 0
    load_bits: dict[int, int] = field(default_factory=dict)
    store_bits: dict[int, int] = field(default_factory=dict)
    cp_async: int = 0
    tma: int = 0
    instructions: int = 0

    @property
    def spills(self) -> bool:
        return self.spill_bytes > 0 or self.local_instructions > 0

    @property
    def widest_load(self) -> int:
        return max(self.load_bits, default=0)

    def as_data(self) -> dict[str, Any]:
        data = {**vars(self), "failure": None if self.failure is None else self.failure.as_data()}
        return {name: {str(k): v for k, v in value.items()} if isinstance(value, dict) and name.endswith("bits")
                else value for name, value in data.items()}


_known: dict[tuple, Compiled] = {}


def compile_launch(launch: Launch, arch: int, aligned: bool = True, seconds: float = SECONDS) -> Compiled:
    """Compile the kernel of ``launch`` for ``sm_{arch}``.

    ``aligned``: as for sizes and strides that are multiples of 16, which is how a kernel is usually launched;
    else as exactly this launch would be.
    """
    divisible = tuple(sorted(_divisible(launch, aligned)))
    try:
        key: tuple = (launch.kernel.cache_key, repr(launch.signature), repr(launch.constants),
                      repr(launch.nested), repr(launch.options), divisible, arch)
    except Exception as error:  # the source cannot be read, or names what is not there
        return Compiled(launch.name, arch, _failure(launch, str(error), 0))
    if key not in _known:
        found = _forked(lambda: _compile(launch, arch, divisible), seconds)
        if "failure" in found:
            _known[key] = Compiled(launch.name, arch, _failure(launch, found["failure"], found.get("line", 0)))
        else:
            facts = static_facts(found["ptx"], found["sass"], found["ptxas"])
            _known[key] = Compiled(launch.name, arch, shared=found["shared"], **facts)
    return _known[key]


def _divisible(launch: Launch, aligned: bool) -> set[tuple[int, ...]]:
    paths = set(launch.divisible)
    if aligned:
        for number, (name, kind) in enumerate(launch.signature.items()):
            if isinstance(kind, str) and (kind.startswith("*") or re.fullmatch(r"[iu](32|64)", kind)):
                paths.add((number,))
            assert name is not None
    return paths


def _failure(launch: Launch, message: str, line: int) -> Finding:
    file = launch.kernel.fn.__code__.co_filename
    return Finding("NotCompiled", as_text(message), launch.name, line,
                   linecache.getline(file, line).strip() if line else "", file)


def _compile(launch: Launch, arch: int, divisible: Sequence[tuple[int, ...]]) -> dict[str, Any]:
    """Runs in the forked process."""
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia import compiler as nvidia
    from triton.compiler import ASTSource
    from triton.compiler import compile as triton_compile

    folder = tempfile.mkdtemp(prefix="ladder-kernel-")
    try:
        os.environ |= {"TRITON_CACHE_DIR": folder, "TRITON_DEFAULT_FP_FUSION": "1"}
        known = {f.name for f in nvidia.CUDAOptions.__dataclass_fields__.values()}
        options = {name: value for name, value in launch.options.items() if name in known and value is not None}
        attributes = {path: [["tt.divisibility", 16]] for path in divisible}
        constants: dict[Any, Any] = {**{(launch.kernel.arg_names.index(k),): v for k, v in launch.constants.items()},
                                     **launch.nested}
        source = ASTSource(launch.kernel, launch.signature, constants, attributes)
        made = triton_compile(source, target=GPUTarget("cuda", arch, 32), options=options)
        cubin, ptx = Path(folder, "k.cubin"), Path(folder, "k.ptx")
        cubin.write_bytes(made.asm["cubin"])
        ptx.write_text(made.asm["ptx"])
        ptxas = nvidia.get_ptxas(arch).path
        target = re.search(r"\.target (sm_\w+)", made.asm["ptx"])
        told = subprocess.run([ptxas, "-v", f"--gpu-name={target.group(1) if target else f'sm_{arch}'}", str(ptx),
                               "-o", os.path.join(folder, "again.cubin")], capture_output=True, text=True)
        if told.returncode != 0 or "registers" not in told.stderr:
            return {"failure": f"ptxas does not tell registers and spills: {told.stderr[-300:]}"}
        tool = Path(nvidia.__file__).parent / "bin" / "cuobjdump"
        sass = subprocess.run([str(tool), "-sass", str(cubin)], capture_output=True, text=True)
        if sass.returncode != 0 or "EXIT" not in sass.stdout:
            return {"failure": f"cuobjdump cannot read the machine code: {sass.stderr[-300:]}"}
        return {"ptx": made.asm["ptx"], "sass": sass.stdout, "ptxas": told.stderr,
                "shared": int(made.metadata.shared)}
    except Exception as error:
        return _told(error, launch)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _told(error: BaseException, launch: Launch) -> dict[str, Any]:
    """The innermost compile error, with the learner's line where it has one."""
    message, line = "", 0
    step: BaseException | None = error
    while step is not None:
        node = getattr(step, "node", None)
        if node is not None and getattr(step, "src", None) is not None:
            if step.src == launch.kernel.src:  # type: ignore[attr-defined]
                raw = "".join(launch.kernel.raw_src)
                before = re.search(r"^[ \t]*def\s", raw, re.MULTILINE)
                first = launch.kernel.starting_line_number + (
                    raw[:before.start()].count("\n") if before else 0)
                line = first + node.lineno - 1
            message = getattr(step, "error_message", None) or message
        elif not message or step.__cause__ is None:
            message = str(step) or message
        step = step.__cause__
    return {"failure": f"{type(error).__name__}: {' '.join((message or str(error)).split())[:400]}", "line": line}


def _forked(work: Callable[[], dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Do ``work`` in a fork of this process, whose output is thrown away."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of a notebook: the child starts none
        child = os.fork()
    if child == 0:
        try:
            os.close(read)
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            os.setsid()
            try:
                found = work()
            except BaseException as error:
                found = {"failure": f"{type(error).__name__}: {error}"}
            with os.fdopen(write, "wb") as pipe:
                pipe.write(json.dumps(found).encode())
        finally:
            os._exit(0)
    os.close(write)
    data, deadline = b"", time.monotonic() + seconds
    with os.fdopen(read, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return {"failure": f"compiling takes more than {seconds:g} s"}
            part = pipe.read(1 << 16)
            if not part:
                break
            data += part
    _, status = os.waitpid(child, 0)
    if not data:
        return {"failure": f"the compiler crashed (status {status})"}
    return json.loads(data)


_TENSOR = (("tcgen05", r"\btcgen05\.mma\b"), ("wgmma", r"\bwgmma\.mma_async\b"), ("mma", r"\bmma\.sync\b"))


def static_facts(ptx: str, sass: str, ptxas: str) -> dict[str, Any]:
    """Facts of one kernel's PTX, machine code, and ``ptxas -v``."""
    def number(pattern: str) -> int:
        return max((int(n) for n in re.findall(pattern, ptxas)), default=0)

    operations = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", sass, re.MULTILINE)
    cores, used = "", 0
    for name, pattern in _TENSOR:
        if found := len(re.findall(pattern, ptx)):
            cores, used = cores or name, used + found
    return {
        "registers": number(r"Used (\d+) registers"),
        "stack": number(r"(\d+) bytes stack frame"),
        "spill_bytes": number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        "local_instructions": sum(op.split(".")[0] in ("LDL", "STL") for op in operations),
        "tensor_cores": cores, "tensor_instructions": used,
        "load_bits": _widths(operations, "LDG"), "store_bits": _widths(operations, "STG"),
        "cp_async": sum(op.startswith("LDGSTS") for op in operations),
        "tma": sum(op.startswith(("UTMALDG", "UTMASTG", "UBLKCP")) for op in operations),
        "instructions": len(operations),
    }


def _widths(operations: Sequence[str], kind: str) -> dict[int, int]:
    found: Counter[int] = Counter()
    for operation in operations:
        parts = operation.split(".")
        if parts[0] != kind and not (kind == "LDG" and parts[0] == "LDGSTS"):
            continue
        width = 32
        for part in parts[1:]:
            if part in ("256", "128", "64"):
                width = int(part)
            elif part in ("U16", "S16"):
                width = 16
            elif part in ("U8", "S8"):
                width = 8
        found[width] += 1
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Fact:
    """One named pass or fail of the static facts."""

    name: str
    state: str
    text: Text

    def as_data(self) -> dict[str, Any]:
        return {"name": self.name, "state": self.state, "text": self.text.en}


CLASSES = {  # what is asked of a kernel of each class, beside no spills and fitting shared memory
    "elementwise": ("wide_loads", "wide_stores"),
    "reduction": ("wide_loads",),
    "matmul": ("tensor_cores", "wide_loads", "async_copies"),
    "attention": ("tensor_cores", "wide_loads", "async_copies"),
    "plain": (),
}


def judge_static(compiled: Compiled, kind: str = "plain") -> list[Fact]:
    """The named facts asked of a kernel of class ``kind``, each passed or failed."""
    if compiled.failure is not None:
        return []
    limit = SHARED.get(compiled.arch, max(SHARED.values()))
    facts = [
        _fact("no_spills", not compiled.spills, say(
            f"{compiled.spill_bytes} bytes spilled, {compiled.local_instructions} local loads and stores",
            f"溢出 {compiled.spill_bytes} 字节，{compiled.local_instructions} 条本地内存指令")),
        _fact("fits_shared_memory", compiled.shared <= limit, say(
            f"{compiled.shared:,} of {limit:,} bytes of shared memory",
            f"共享内存 {compiled.shared:,} / {limit:,} 字节")),
    ]
    asked = CLASSES[kind]
    if "tensor_cores" in asked:
        facts.append(_fact("tensor_cores", bool(compiled.tensor_cores), say(
            f"tensor cores: {compiled.tensor_cores or 'none'}", f"张量核心：{compiled.tensor_cores or '未使用'}")))
    if "wide_loads" in asked:
        facts.append(_fact("wide_loads", compiled.widest_load >= 128 or compiled.tma > 0, say(
            f"widest global load: {compiled.widest_load} bits{' and TMA' if compiled.tma else ''}",
            f"最宽的全局读取：{compiled.widest_load} 位{'，以及 TMA' if compiled.tma else ''}")))
    if "wide_stores" in asked:
        widest = max(compiled.store_bits, default=0)
        facts.append(_fact("wide_stores", widest >= 128 or compiled.tma > 0, say(
            f"widest global store: {widest} bits", f"最宽的全局写入：{widest} 位")))
    if "async_copies" in asked:
        facts.append(_fact("async_copies", compiled.cp_async > 0 or compiled.tma > 0, say(
            f"{compiled.cp_async} asynchronous copies, {compiled.tma} TMA",
            f"{compiled.cp_async} 条异步拷贝，{compiled.tma} 条 TMA")))
    return facts


def _fact(name: str, holds: bool, text: Text) -> Fact:
    return Fact(name, PASSED if holds else FAILED, text)
