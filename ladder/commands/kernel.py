"""Judge a Triton kernel: lint, strict interpretation, compile gate, static facts; no GPU is needed.

The file (or the one that --cases names) defines what to call the launcher with:

    LAUNCHER = "vector_add"   # not needed after FILE:NAME, nor if the file has one public function
    KIND = "elementwise"      # or reduction, matmul, attention, plain: which static facts are asked
    def cases(rng):           # a NumPy generator; yield (label, args) or (label, args, expected)
        x, y = (torch.from_numpy(rng.normal(size=100).astype("float32")) for _ in range(2))
        yield "100 numbers", (x, y), x + y

args may be a tuple or a dict of keyword arguments; expected is what the launcher should return, in any precision.
With a GPU the cases run there too, and what speed() yields is timed beside its baselines on fresh arguments:

    def speed():              # not needed; yield (label, make, baselines)
        def make(generator):  # a torch.Generator on the GPU; the arguments of one call
            return [torch.randn(1 << 26, generator=generator, device=generator.device) for _ in range(2)]
        yield "67 million numbers", make, {"torch": torch.add}

Exit code 0 if nothing failed, 1 if something did, 2 if the file cannot be judged. A GPU is reported apart.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

from ladder.errors import KernelFileError
from ladder.kernel_judge.bridge import NO_TRITON, have_triton
from ladder.text import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE[:NAME]", help="a Python file, and the launcher in it")
    parser.add_argument("--cases", metavar="FILE", help="where cases() stands, if not in FILE")
    parser.add_argument("--seed", type=int, help="of the cases and the order of programs")
    parser.add_argument("--arch", type=int, nargs="+", default=[80, 90], metavar="CC",
                        help="compile for these: 80, 90, 100 (default: 80 90)")
    parser.add_argument("--pictures", metavar="FOLDER", help="draw who touched what, and a roofline, as PNG files")
    parser.add_argument("--json", action="store_true", help="print JSON for another program")


def run(args: argparse.Namespace) -> int:
    language = getattr(args, "language", "en")
    if not have_triton():
        if args.json:
            print(json.dumps({"state": "not_checked", "reason": NO_TRITON.en}))
        else:
            print(say(f"not checked: {NO_TRITON.en}", f"未检查：{NO_TRITON.zh}").in_(language))
        return 2
    import numpy as np

    from ladder.kernel_judge.gate import CLASSES
    from ladder.kernel_judge.strict import Examiner
    from ladder.kernel_judge.verdict import judge_kernel

    path, _, name = args.file.partition(":")
    module = _load(Path(path))
    asking = _load(Path(args.cases)) if args.cases else module
    name = name or getattr(asking, "LAUNCHER", "") or _only_launcher(module, path)
    launcher = getattr(module, name, None)
    if not callable(launcher):
        raise KernelFileError(f"{path} has no function {name}")
    kind = getattr(asking, "KIND", "plain")
    if kind not in CLASSES:
        raise KernelFileError(f"KIND is {kind!r}; choose of {', '.join(CLASSES)}")
    if not callable(getattr(asking, "cases", None)):
        raise KernelFileError(f"{args.cases or path} defines no cases(rng); `ladder kernel --help` shows how")
    seed = args.seed if args.seed is not None else zlib.crc32(name.encode())
    cases = [_case(step) for step in asking.cases(np.random.default_rng(seed))]
    speeds = [_speed(step) for step in asking.speed()] if callable(getattr(asking, "speed", None)) else []
    verdict = judge_kernel(launcher, cases, kind=kind, source=Path(path).read_text(encoding="utf-8"),
                           architectures=args.arch, speeds=speeds,
                           examiner=Examiner(seed=seed, trace=bool(args.pictures),
                                             allow=tuple(getattr(asking, "ALLOW", ()))))
    drawn = _draw(verdict, Path(args.pictures)) if args.pictures else []
    if args.json:
        print(json.dumps({**verdict.as_data(), "pictures": drawn}, indent=2))
    else:
        _show(verdict, drawn, language)
    return 0 if verdict.passed and verdict.states["lint"] != "failed" else 1


def _load(path: Path) -> ModuleType:
    """The file as a module; inside the packages of the workbook, with their relative imports."""
    if not path.is_file():
        raise KernelFileError(f"there is no file {path}")
    import ladder.kernels as kernels

    package = "ladder.kernels" if path.resolve().parent == Path(kernels.__path__[0]).resolve() else None
    name = f"{package}.{path.stem}" if package else f"kernel_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise KernelFileError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise KernelFileError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _only_launcher(module: ModuleType, path: str) -> str:
    found = [name for name, value in vars(module).items()
             if inspect.isfunction(value) and value.__module__ == module.__name__
             and not name.startswith("_") and name != "cases"]
    if len(found) != 1:
        raise KernelFileError(f"{path} has the functions {', '.join(found) or 'none'}; say which: {path}:NAME")
    return found[0]


def _case(step: Any) -> Any:
    from ladder.kernel_judge.verdict import Case

    if isinstance(step, Case):
        return step
    if not isinstance(step, tuple) or len(step) not in (2, 3) or not isinstance(step[1], (tuple, list, dict)):
        raise KernelFileError("cases(rng) yields (label, args) or (label, args, expected), with args a tuple or dict")
    label, given, *expected = step
    return Case(label, args=() if isinstance(given, dict) else tuple(given),
                kwargs=dict(given) if isinstance(given, dict) else {}, expected=expected[0] if expected else None)


def _speed(step: Any) -> Any:
    from ladder.kernel_judge.gpu import Speed

    if isinstance(step, Speed):
        return step
    if not isinstance(step, tuple) or len(step) != 3 or not callable(step[1]) or not isinstance(step[2], dict):
        raise KernelFileError("speed() yields (label, make, baselines), with make a function of a generator, "
                              "and baselines a dict of functions")
    return Speed(*step)


STATES = {"passed": say("passed", "通过"), "failed": say("failed", "未通过"),
          "not_checked": say("not checked", "未检查")}
MARKS = {"passed": "✓", "failed": "✗", "not_checked": "·"}
NAMES = {"lint": say("lint", "静态检查"), "interpreted": say("interpreted", "解释执行"),
         "compiled": say("compiled", "编译"), "static": say("static facts", "静态事实"), "gpu": say("GPU", "GPU")}


def _show(verdict: Any, drawn: list[str], language: str) -> None:
    print(verdict.name)
    for name, state in verdict.states.items():
        reason = verdict.reasons.get(name)
        told = f": {reason.in_(language)}" if reason is not None else ""
        print(f"{MARKS[state]} {NAMES[name].in_(language)}: {STATES[state].in_(language)}{told}")
        for line in _details(verdict, name, language):
            print(f"    {line}")
    for path in drawn:
        print(path)


def _details(verdict: Any, state: str, language: str) -> list[str]:
    if state == "lint":
        return [finding.told(language) for finding in verdict.linted]
    if state == "interpreted":
        lines = []
        for case in verdict.cases:
            label = case.case.label if isinstance(case.case.label, str) else case.case.label.in_(language)
            facts = case.report.facts
            lines.append(f"{MARKS['passed' if case.passed else 'failed']} {label}: " + say(
                f"{facts['programs']} programs, {facts['bytes_loaded']:,} bytes read, "
                f"{facts['bytes_stored']:,} written, sectors {facts['sector_use']:.0%} used, "
                f"{facts['dot_flops']:,} FLOPs in tl.dot",
                f"{facts['programs']} 个程序，读取 {facts['bytes_loaded']:,} 字节，写入 {facts['bytes_stored']:,} 字节，"
                f"扇区利用率 {facts['sector_use']:.0%}，tl.dot 计算 {facts['dot_flops']:,} FLOPs").in_(language))
            lines += [f"  {finding.told(language)}" for finding in case.problems]
            lines += [f"  {hint.in_(language)}" for hint in case.report.hints]
        return lines
    if state == "compiled":
        return [f"{made.kernel} sm_{made.arch}: " + (
            made.failure.told(language) if made.failure is not None else say(
                f"{made.registers} registers, {made.shared:,} bytes of shared memory",
                f"{made.registers} 个寄存器，共享内存 {made.shared:,} 字节").in_(language))
            for made in verdict.compiled]
    if state == "static":
        return [f"{MARKS[fact.state]} {made.kernel} sm_{made.arch} {fact.name}: {fact.text.in_(language)}"
                for made, facts in verdict.static for fact in facts]
    return _on_the_gpu(verdict.gpu, language) if state == "gpu" else []


def _on_the_gpu(run: Any, language: str) -> list[str]:
    """The GPU's name and versions, each case, each time with its ratios."""
    if not run.name:
        return []
    lines = [f"{run.name}, " + ", ".join(f"{name} {version}" for name, version in run.versions.items())]
    for case in run.cases:
        lines.append(f"{MARKS['failed' if case.problems else 'passed']} {case.label}")
        lines += [f"  {problem.told(language)}" for problem in case.problems]
    for timing in run.speed:
        lines.append(f"{MARKS[timing.state]} {timing.label}: {timing.seconds * 1e6:,.1f} us"
                     + "".join(f", {ratio:.2f} x {name}" for name, ratio in timing.ratios.items())
                     + (f" ({timing.reason.in_(language)})" if timing.reason is not None else ""))
        lines += [f"  {problem.told(language)}" for problem in timing.problems]
    return lines


def _draw(verdict: Any, folder: Path) -> list[str]:
    import matplotlib

    matplotlib.use("Agg")
    from ladder.kernel_judge import pictures

    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[str] = []
    points: dict[str, tuple[float, ...]] = {}
    for number, case in enumerate(verdict.cases):
        report = case.report
        for argument in sorted({access.argument for access in report.trace or []}):
            axes = pictures.touched(report, argument)
            drawn.append(str(folder / f"{verdict.name}-{number}-{argument}.png"))
            _save(axes, drawn[-1])
        facts = report.facts
        label = case.case.label if isinstance(case.case.label, str) else case.case.label.en
        points[label] = (facts["dot_flops"], facts["unique_bytes_read"] + facts["unique_bytes_written"])
    points |= {timing.label: (timing.flops, timing.moved, timing.seconds)
               for timing in verdict.gpu.speed if timing.state == "passed"}
    if any(flops for flops, *_ in points.values()):
        drawn.append(str(folder / f"{verdict.name}-roofline.png"))
        _save(pictures.roofline(points), drawn[-1])
    return drawn


def _save(axes: Any, path: str) -> None:
    import matplotlib.pyplot as plt

    axes.figure.tight_layout()
    axes.figure.savefig(path, dpi=110)
    plt.close(axes.figure)
