"""The compile gate, static facts, lint, the verdict's states, pictures, and ``ladder kernel``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="NOT CHECKED: triton is not installed; `make triton` (no GPU is needed)")
sys.path.insert(0, str(Path(__file__).parent))
import kernel_samples as samples
import triton
import triton.language as tl

from ladder import cli
from ladder.kernel_judge import gate
from ladder.kernel_judge.gate import compile_launch, judge_static, static_facts
from ladder.kernel_judge.lint import lint
from ladder.kernel_judge.strict import Examiner, examine
from ladder.kernel_judge.verdict import Case, judge_kernel

ROOT = Path(__file__).resolve().parent.parent


def compiled(launcher, inputs, arch, **how):
    return compile_launch(examine(launcher, *inputs).launches[0], arch, **how)


def states(made, kind):
    return {fact.name: fact.state for fact in judge_static(made, kind)}


@triton.jit
def spilling_kernel(x_ptr, out_ptr, stride, N: tl.constexpr):
    """Keeps 256 KB of products alive in 32 threads."""
    i, j = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :]
    x = tl.load(x_ptr + i * stride + j)
    y = tl.load(x_ptr + j * stride + i)
    for _ in range(3):
        x, y = tl.dot(x, y), x + tl.trans(y)
    tl.store(out_ptr + i * stride + j, x + y)


def spilling(x):
    out = torch.empty_like(x)
    spilling_kernel[(1,)](x, out, x.stride(0), N=x.shape[0], num_warps=1)
    return out


@pytest.mark.parametrize("arch", [80, 90])
def test_tensor_cores_and_asynchronous_copies_of_a_matmul(arch):
    made = compiled(lambda a, b: samples.matmul(a, b, tile=(64, 64, 32)), samples.matrices(
        64, 64, 64, torch.float16), arch)
    assert made.failure is None and not made.spills and made.registers > 0
    assert made.tensor_cores == ("wgmma" if arch == 90 else "mma")
    assert made.widest_load == 128 and made.cp_async > 0
    assert set(states(made, "matmul").values()) == {"passed"}


def test_unaligned_launches_load_narrowly():
    inputs = samples.matrices(17, 33, 19, torch.float16)
    assert states(compiled(samples.matmul, inputs, 80, aligned=False), "matmul")["wide_loads"] == "failed"


def test_spills_are_seen_by_ptxas_and_in_the_machine_code():
    made = compiled(spilling, (torch.randn(64, 64),), 80)
    assert made.failure is None and made.spill_bytes > 0 and made.local_instructions > 0
    assert states(made, "plain")["no_spills"] == "failed"


def test_what_the_compiler_rejects_names_the_learners_line():
    launch = examine(samples.with_kernel(samples.plain_global_kernel), *samples.vectors()).launches[0]
    failure = compile_launch(launch, 80).failure
    assert failure.kind == "NotCompiled" and "BLOCK_OF_ALL" in failure.text.en
    assert "BLOCK_OF_ALL" in failure.source and failure.line > 0


def test_a_crash_or_a_long_compilation_is_a_failure_and_no_more():
    assert "crashed" in gate._forked(lambda: os.kill(os.getpid(), 9), 20)["failure"]
    assert "more than" in gate._forked(lambda: __import__("time").sleep(30), 0.3)["failure"]
    assert "ValueError: x" in gate._forked(lambda: int("x" if 0 else (_ for _ in ()).throw(ValueError("x"))), 20)["failure"]


def test_facts_of_machine_code():
    sass = "".join(f"        /*{i:04x}*/    {op} ;\n" for i, op in enumerate([
        "@P0 LDG.E.128 R4, [R2]", "LDG.E R1, [R2]", "LDG.E.U16.CONSTANT R1, [R2]", "@!UP0 LDGSTS.E.BYPASS.128 [R1]",
        "STG.E.64 [R2], R4", "STL [R1], R2", "LDL.64 R2, [R1]", "UTMALDG.2D [UR8]", "EXIT"]))
    told = "info: 8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads\ninfo: Used 40 registers"
    facts = static_facts("wgmma.mma_async.sync.aligned; mma.sync.aligned", sass, told)
    assert facts["load_bits"] == {16: 1, 32: 1, 128: 2} and facts["store_bits"] == {64: 1}
    assert (facts["local_instructions"], facts["spill_bytes"], facts["stack"], facts["registers"]) == (2, 16, 8, 40)
    assert (facts["cp_async"], facts["tma"], facts["tensor_cores"]) == (1, 1, "wgmma")


# Lint

KERNEL = """
import torch, triton
import triton.language as tl
@triton.jit
def k(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + i, mask=i < n, other=0.0), mask=i < n)
def launch(x):
    out = torch.empty_like(x)
    k[(1,)](x, out, x.numel(), BLOCK=64)
    return out
"""


def rules(source):
    return {finding.argument for finding in lint(source)}


def test_lint_is_silent_about_good_kernels():
    assert lint(KERNEL) == []
    assert lint((ROOT / "kernels" / "paged_decode.py").read_text()) == []


@pytest.mark.parametrize(("old", "new", "rule"), [
    ("    return out", "    return torch.softmax(x, 0)", "library"),
    ("    return out", "    return x @ x", "library"),
    ("    return out", "    return x.softmax(0)", "library"),
    ("    return out", "    try:\n        return out\n    except Exception:\n        return x", "try"),
    ("import torch, triton\n", "import torch, triton, gc\n", "module"),
    ("import torch, triton\n", "import torch, triton, os\n", "module"),
    ("    i = tl.arange(0, BLOCK)\n", "    i = tl.arange(0, BLOCK)\n    try:\n        pass\n    finally:\n        pass\n",
     "syntax"),
    ("    i = tl.arange(0, BLOCK)\n", "    i = torch.arange(BLOCK)\n", "module"),
    ("    i = tl.arange(0, BLOCK)\n", "    i = eval('0')\n", "builtin"),
    ("    return out", "    triton.testing.do_bench = lambda *a: 0.0\n    return out", "patch"),
    ("    return out", "    KEPT[x.shape] = out\n    return out\nKEPT = {}", "cache"),
    ("def launch(x):", "import functools\n@functools.lru_cache\ndef launch(x):", "cache"),
    ("    k[(1,)]", "    with torch.cuda.stream(torch.cuda.Stream()):\n        pass\n    k[(1,)]", "stream"),
    ("    tl.store(out_ptr + i, tl.load(x_ptr + i, mask=i < n, other=0.0), mask=i < n)\n", "    tl.load(x_ptr + i)\n",
     "decoy"),
    ("    k[(1,)](x, out, x.numel(), BLOCK=64)\n", "", "decoy"),
])
def test_lint_names(old, new, rule):
    assert old in KERNEL
    assert rule in rules(KERNEL.replace(old, new))


# The verdict and the command

def test_states_are_kept_apart():
    inputs = samples.vectors(128)
    verdict = judge_kernel(samples.with_kernel(samples.add_kernel), [Case("128", inputs, expected=inputs[0] + inputs[1])],
                           architectures=(80,), kind="plain")
    assert verdict.states == {"lint": "not_checked", "interpreted": "passed", "compiled": "passed",
                              "static": "passed", "gpu": "not_checked"}
    assert verdict.passed and verdict.reasons["gpu"].en
    data = json.loads(json.dumps(verdict.as_data()))
    assert data["cases"][0]["facts"]["bytes_loaded"] == 1024 and data["compiled"][0]["arch"] == 80
    nothing = judge_kernel(samples.returns_the_input, [], architectures=(80,))
    assert set(nothing.states.values()) == {"not_checked"} and not nothing.passed


def test_flops_must_reach_the_minimum():
    inputs = samples.matrices(32, 32, 32)
    case = Case("elsewhere", inputs, expected=samples.times(*inputs), min_dot_flops=2 * 32**3 + 1)
    verdict = judge_kernel(samples.matmul, [case], architectures=())
    assert "65,536 FLOPs with tl.dot" in verdict.cases[0].problems[0].text.en


@pytest.fixture
def kernel_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(KERNEL + """
KIND = "elementwise"
def cases(rng):
    x = torch.from_numpy(rng.normal(size=50).astype("float32"))
    yield "50 numbers", (x,), x
    yield "by name", {"x": x[:17]}
""")
    return path


def test_the_command_prints_facts(kernel_file, capsys, tmp_path):
    code = cli.main(["--lang", "en", "kernel", f"{kernel_file}:launch", "--arch", "80", "--json", "--pictures",
                     str(tmp_path / "drawn")])
    data = json.loads(capsys.readouterr().out)
    assert code == 1 and data["states"]["static"] == "failed"  # 64 numbers leave 128 threads no wide load
    assert data["states"]["interpreted"] == "passed" and data["states"]["gpu"] == "not_checked"
    assert {Path(p).name for p in data["pictures"]} == {f"launch-{n}-{a}.png" for n in (0, 1)
                                                        for a in ("x_ptr", "out_ptr")}
    assert all(Path(p).stat().st_size > 1000 for p in data["pictures"])


def test_the_command_tells_findings(kernel_file, capsys):
    kernel_file.write_text(kernel_file.read_text().replace("i, tl.load(x_ptr + i, mask=i < n, other=0.0)",
                                                           "i, tl.load(x_ptr + i)"))
    assert cli.main(["--lang", "en", "kernel", str(kernel_file), "--arch", "80"]) == 1
    told = capsys.readouterr().out
    assert "14 of 64 active lanes; nearest argument x_ptr[50], valid 0..49; program (0,0,0); line 7" in told
    assert "· GPU: not checked" in told
    assert cli.main(["--lang", "zh", "kernel", str(kernel_file), "--arch", "80"]) == 1
    assert "越界读取" in capsys.readouterr().out


@pytest.mark.parametrize(("change", "told"), [
    (("def cases", "def _cases"), "--help"), (("def launch", "def _launch"), "say which"),
    (('"elementwise"', '"fast"'), "choose of"), (("import torch", "import torc"), "cannot be imported"),
    (("yield \"50 numbers\", (x,), x", "yield x"), "yields (label, args)"),
])
def test_the_command_says_what_to_do(kernel_file, capsys, change, told):
    kernel_file.write_text(kernel_file.read_text().replace(*change))
    assert cli.main(["--lang", "en", "kernel", str(kernel_file)]) == 2
    assert told in capsys.readouterr().err


def test_the_roofline_is_drawn(tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    from ladder.kernel_judge.pictures import roofline, touched

    report = Examiner(trace=True)(samples.matmul, *samples.matrices(64, 64, 64))
    assert touched(report, "c_ptr", (64, 64)).get_title()
    with pytest.raises(ValueError, match="no access"):
        touched(report, "nothing")
    roofline({"matmul": (report.facts["dot_flops"], 3 * 64 * 64 * 4)}).figure.savefig(tmp_path / "roof.png")
    assert (tmp_path / "roof.png").stat().st_size > 1000


def test_without_triton_the_command_and_checks_say_not_checked(tmp_path):
    code = ("import sys, importlib.util as u; find = u.find_spec\n"
            "u.find_spec = lambda name, *a: None if name == 'triton' else find(name, *a)\n"
            "from ladder.cli import main; from ladder.kernel_judge import bridge; from ladder.checks import NotChecked\n"
            "try:\n    bridge.strict(print)\nexcept NotChecked as e:\n    print(e.reason.en)\n"
            "sys.exit(main(['--lang', 'en', 'kernel', 'x.py']))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout.count("needs Triton") == 2 and "torch" not in done.stderr
