"""The GPU verdict on a GPU of our own making: a clock, streams and a cache that behave as a GPU's.

What needs a real GPU, that a compiled kernel gives what the interpreter gave, is not tested here.
"""

import importlib
import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="NOT CHECKED: triton is not installed; `make triton` (no GPU is needed)")

from ladder.kernel_judge import gpu
from ladder.kernel_judge.gpu import CudaDevice, Speed, judge_gpu, run_case, time_speed
from ladder.kernel_judge.interpreter import Interpreter, interpreting
from ladder.kernel_judge.verdict import Case, judge_kernel

N = 1024
BYTES = 3 * 4 * N
BANDWIDTH = BYTES / 200e-6  # what a launcher moves takes 200 us at best


class FakeDevice:
    """Launching costs the host 10 us; work waits for its stream; what was flushed is read at full cost."""

    name, capability, torch, l2, memory = "Fake 1000", 90, torch.device("cpu"), 0, 80 << 30
    bandwidth, flops, versions = BANDWIDTH, 0.0, {"torch": "0"}

    def __init__(self):
        self.now, self.ends, self.flushes, self.cached = 0.0, {}, 0, set()

    def clock(self):
        return self.now

    def synchronize(self):
        self.now = max([self.now, *self.ends.values()]) + 1e-6

    def flush(self):
        self.flushes += 1
        self.cached.clear()
        self.work(500e-6)

    def work(self, seconds, stream="main", reads=()):
        self.now += 10e-6
        if reads and all(t.data_ptr() in self.cached for t in reads):
            seconds /= 10
        self.cached |= {t.data_ptr() for t in reads}
        self.ends[stream] = max(self.ends.get(stream, 0.0), self.now) + seconds


@pytest.fixture
def device():
    return FakeDevice()


def pair(generator):
    return [torch.randn(N, generator=generator) for _ in range(2)]


def adding(device, seconds=250e-6, stream="main"):
    def add(x, y):
        device.work(seconds, stream, (x, y))
        return x + y

    return add


def timed(device, launcher, **named):
    named = {"label": "add", "make": pair, "baselines": {"torch": adding(device, 300e-6)}} | named
    return time_speed(device, launcher, Speed(**named), repeats=5)


def kinds(timing):
    return [problem.kind for problem in timing.problems]


def test_an_honest_time_and_its_ratio(device):
    timing = timed(device, adding(device), targets={"torch": 1.1, "copy": 0.8, "cuBLAS": 1.0})
    assert timing.state == "passed" and timing.problems == []
    assert timing.seconds == pytest.approx(250e-6, rel=0.02)
    assert timing.ratios["torch"] == pytest.approx(1.2, rel=0.02)
    assert timing.moved == BYTES and timing.floor == pytest.approx(200e-6)
    assert timing.reached == {"torch": True, "copy": False, "cuBLAS": None}  # a fake copy takes no time
    assert json.loads(json.dumps(timing.as_data()))["ratios"]["torch"] > 1


def test_the_median_of_the_times(device):
    """Another program wakes for a while, and makes two of the five repeats slow."""
    calls = []

    def add(x, y):
        calls.append(1)
        return adding(device, 2e-3 if 2 + 16 < len(calls) <= 2 + 32 else 250e-6)(x, y)

    timing = timed(device, add)
    assert timing.seconds == pytest.approx(250e-6, rel=0.02)
    assert timing.spread == (pytest.approx(250e-6, rel=0.02), pytest.approx(2e-3, rel=0.02))


def test_every_call_gets_inputs_of_its_own_and_none_in_the_cache(device):
    seen, flushed = [], []

    def add(x, y):
        seen.append((x.clone(), x.data_ptr()))
        flushed.append(device.flushes)
        return adding(device)(x, y)

    assert timed(device, add).seconds == pytest.approx(250e-6, rel=0.02)
    firsts = [float(x[0]) for x, _ in seen]
    assert len(set(firsts)) == len(firsts) > 40
    assert len(set(flushed)) >= 7


@pytest.mark.parametrize("cached", ["by address", "first result", "by shape"])
def test_cached_results_are_wrong(device, cached):
    kept = {}

    def add(x, y):
        key = {"by address": (x.data_ptr(), y.data_ptr()), "first result": 0, "by shape": x.shape}[cached]
        device.work(250e-6)
        if cached == "by address":  # an allocator gives the same address again
            key = 0
        return kept.setdefault(key, x + y)

    timing = timed(device, add)
    assert timing.state == "failed" and kinds(timing) == ["Wrong"] and timing.ratios == {}


def test_work_on_a_side_stream_counts(device):
    timing = timed(device, adding(device, stream="side"))
    assert timing.state == "passed" and timing.seconds == pytest.approx(250e-6, rel=0.02)


def test_many_side_streams_are_too_fast(device):
    streams = iter(range(10_000))

    def add(x, y):
        device.work(250e-6, stream=next(streams))
        return x + y

    timing = timed(device, add)
    assert timing.state == "failed" and kinds(timing) == ["TooFast"]
    assert "at least 200.0 us" in timing.problems[0].told("en") and "计时" in timing.problems[0].told("zh")


def test_patched_timers_change_nothing(device, monkeypatch):
    def add(x, y):
        monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
        monkeypatch.setattr(time, "monotonic", lambda: 0.0)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda *args: None)
        return adding(device)(x, y)

    assert timed(device, add).seconds == pytest.approx(250e-6, rel=0.02)
    assert CudaDevice.clock() != 0.0 and CudaDevice.clock is not time.perf_counter


def test_a_clock_that_a_launcher_stops_is_too_fast(device):
    """Whatever way it found: less time than the bytes take is refused."""
    def add(x, y):
        device.ends.clear()
        return x + y

    assert kinds(timed(device, add)) == ["TooFast"]


class Later(torch.Tensor):
    """Computes when it is read."""


def test_lazy_outputs_are_refused(device):
    timing = timed(device, lambda x, y: (x + y).as_subclass(Later))
    assert timing.state == "failed" and kinds(timing) == ["LazyOutput"]
    assert "Later" in timing.problems[0].told("en")
    assert kinds(timed(device, lambda x, y: lambda: x + y)) == ["LazyOutput"]


def test_work_done_after_the_time_is_wrong(device):
    left = []

    def add(x, y):
        while left:
            out, a, b = left.pop()
            out.copy_(a + b)
        device.work(250e-6)
        left.append((torch.zeros(N), x, y))
        return left[0][0]

    assert kinds(timed(device, add)) == ["Wrong"]


def test_below_50_us_no_verdict(device):
    device.bandwidth = BYTES / 5e-6
    timing = timed(device, adding(device, 20e-6), targets={"torch": 1.0})
    assert timing.state == "not_checked" and "below 50 us" in timing.reason.en
    assert timing.reached == {"torch": None}


def test_the_floor_of_flops_and_of_stated_bytes(device):
    device.flops = 1e12
    assert kinds(timed(device, adding(device), flops=1e9)) == ["TooFast"]  # 500 us even at twice the rate
    assert kinds(timed(device, adding(device), flops=4e8)) == []
    assert kinds(timed(device, adding(device, 100e-6))) == ["TooFast"]
    assert kinds(timed(device, adding(device, 100e-6), moved=BYTES // 2)) == []  # a launcher that need not read all


def test_outputs_may_stay_in_the_cache(device):
    device.l2 = 10**9
    assert timed(device, adding(device, 150e-6)).state == "passed"  # two of three arrays: 133 us


def test_an_unknown_gpu_takes_its_bandwidth_from_the_copy(device, monkeypatch):
    device.bandwidth = 0.0

    def clone(x):
        device.work(200e-6)
        return x.clone()

    monkeypatch.setattr(gpu.torch, "clone", clone)
    timing = timed(device, adding(device))
    assert timing.floor == pytest.approx(160e-6, rel=0.02) and timing.ratios["copy"] == pytest.approx(0.8, rel=0.02)


def test_an_update_in_place(device):
    def add_into(x, y):
        device.work(250e-6)
        x += y

    timing = timed(device, add_into, baselines={"torch": add_into}, moved=BYTES)
    assert timing.state == "passed" and timing.problems == []
    assert kinds(timed(device, lambda x, y: device.work(250e-6), baselines={"torch": add_into})) == ["Wrong"]


def test_an_error_while_timing_is_told(device):
    def add(x, y):
        raise RuntimeError("an illegal memory access was encountered")

    timing = timed(device, add)
    assert timing.state == "failed" and kinds(timing) == ["GpuError"]
    assert "illegal memory access" in timing.problems[0].told("en")


@pytest.mark.parametrize("baselines", [("torch",), ("other", "torch")])
def test_a_baseline_that_stops_is_no_fault_of_the_launcher(device, baselines):
    def stops(x, y):
        raise RuntimeError("no compiler")

    timing = timed(device, adding(device), baselines={
        name: stops if name == "torch" else adding(device, 300e-6) for name in baselines})
    assert timing.state == "not_checked" and timing.problems == [] and "no compiler" in timing.reason.en


def test_calls_in_a_repeat():
    assert gpu.calls_in(1e-4, 10**9, 80 * 10**9) == 8
    assert gpu.calls_in(1e-3, 10**9, 80 * 10**9) == 5
    assert gpu.calls_in(1.0, 10**9, 80 * 10**9) == 1
    assert gpu.calls_in(1e-4, 30 * 10**9, 80 * 10**9) == 1


def test_data_sheets_by_name():
    assert gpu.peaks("NVIDIA H100 80GB HBM3")[1] == 3.35e12
    assert gpu.peaks("NVIDIA H100 PCIe")[1] == 2.04e12
    assert gpu.peaks("NVIDIA A100-SXM4-80GB")[0] == 312e12
    assert gpu.peaks("NVIDIA GeForce GTX 1080") == (0.0, 0.0)


# Cases


def test_a_case_runs_in_memory_full_of_nan(device):
    def half(x):
        out = torch.empty_like(x)
        out[:2] = x[:2]
        return out

    x = torch.randn(4)
    assert run_case(device, lambda x: x.clone(), Case("all", (x,), expected=x), False).problems == []
    missing = run_case(device, half, Case("half", (x,), expected=x), False)
    assert [problem.kind for problem in missing.problems] == ["Wrong"] and missing.errors == [float("inf")]
    assert not torch.are_deterministic_algorithms_enabled()


def test_arguments_keep_their_strides_and_sharing(device):
    base = torch.arange(24.0).view(4, 6)
    (a, b), options = gpu.to_device(((base.T, base[:, 1::2]), {"n": 3}), torch.device("cpu"))
    assert a.stride() == (1, 6) and b.stride() == (6, 2) and torch.equal(b, base[:, 1::2]) and options == {"n": 3}
    a[1, 0] = -1.0
    assert b[0, 0] == -1.0 and base[0, 1] == 1.0


def test_wrong_outputs_shapes_and_errors(device):
    x = torch.randn(4)
    for launcher, kind in ((lambda x: x + 1e-3, "Wrong"), (lambda x: x[:2], "Wrong"), (lambda x: x[9], "GpuError")):
        assert [p.kind for p in run_case(device, launcher, Case("c", (x,), expected=x), False).problems] == [kind]


def test_tf32_is_allowed_where_the_kernel_multiplies(device):
    x = torch.randn(4)
    near = Case("near", (x,), expected=x * (1 + 5e-4))
    assert run_case(device, torch.clone, near, True).problems == []
    assert run_case(device, torch.clone, near, False).problems != []


def test_speed_is_timed_only_if_the_cases_are_right(device):
    speed = Speed("add", pair, {"torch": torch.add})
    x = torch.randn(4)
    wrong = judge_gpu(torch.sub, [(Case("c", (x, x), expected=x + x), False)], [speed], device)
    assert wrong.state == "failed" and wrong.speed == []
    right = judge_gpu(adding(device), [(Case("c", (x, x), expected=x + x), False)], [speed], device)
    assert right.state == "passed" and len(right.speed) == 1 and right.name == "Fake 1000"
    assert judge_gpu(torch.add, [], [], device).state == "not_checked"
    assert judge_gpu(torch.add, [], [speed], None).reason.en == "needs a GPU"


# The whole verdict


@pytest.fixture
def samples(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("kernel_samples")


def case(n=100):
    rng = np.random.default_rng(n)
    x, y = (torch.from_numpy(rng.normal(size=n).astype("float32")) for _ in range(2))
    return Case(f"{n} numbers", (x, y), expected=x + y)


def add(samples):
    def launcher(x, y):
        out = torch.empty_like(x)
        samples.add_kernel[(-(-x.numel() // 64),)](x, y, out, x.numel(), BLOCK=64)
        return out

    return launcher


def test_the_gpu_is_a_state_of_its_own(samples, device):
    """Here a compiled kernel cannot run: that fails the GPU's state and no other."""
    without = judge_kernel(add(samples), [case()], architectures=())
    assert without.states["gpu"] == "not_checked" and without.reasons["gpu"].en == "needs a GPU"
    assert without.as_data()["gpu"]["state"] == "not_checked"
    broken = judge_kernel(add(samples), [case()], architectures=(), device=device)
    assert broken.states == {**without.states, "gpu": "failed"}
    with interpreting(Interpreter()):  # in place of the GPU
        right = judge_kernel(add(samples), [case()], architectures=(), device=device)
    assert right.states == {**without.states, "gpu": "passed"} and right.gpu.cases[0].errors == [0.0]


def test_what_failed_before_is_not_run(samples, device):
    wrong = Case("wrong", case().args, expected=case().expected + 1)
    verdict = judge_kernel(add(samples), [wrong], architectures=(), device=device)
    assert verdict.states["interpreted"] == "failed" and verdict.states["gpu"] == "not_checked"
    assert verdict.gpu.name == "Fake 1000" and verdict.gpu.cases == []


def test_an_update_in_place_starts_from_the_arguments_given(samples, device):
    def launcher(x, y):
        samples.add_kernel[(2,)](x, y, x, x.numel(), BLOCK=64)
        return x

    with interpreting(Interpreter()):
        verdict = judge_kernel(launcher, [case()], architectures=(), device=device)
    assert verdict.states["gpu"] == "passed", verdict.gpu.cases[0].problems


def test_the_command_tells_times_and_draws_them(device, monkeypatch, tmp_path, capsys):
    from ladder.cli import main

    path = tmp_path / "adds.py"
    path.write_text("import torch, triton\nimport triton.language as tl\n\n@triton.jit\n"
                    "def k(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):\n"
                    "    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n"
                    "    x = tl.load(x_ptr + i, mask=i < n, other=0.0)\n"
                    "    y = tl.load(y_ptr + i, mask=i < n, other=0.0)\n"
                    "    tl.store(out_ptr + i, x + y, mask=i < n)\n\n"
                    "def add(x, y):\n    out = torch.empty_like(x)\n"
                    "    k[triton.cdiv(x.numel(), 512),](x, y, out, x.numel(), BLOCK=512)\n    return out\n\n"
                    "def cases(rng):\n    x = torch.from_numpy(rng.normal(size=99).astype('float32'))\n"
                    "    yield '99', (x, x + 1), 2 * x + 1\n\n"
                    "def speed():\n    def make(generator):\n"
                    "        return [torch.randn(512, generator=generator) for _ in range(2)]\n"
                    "    yield 'many', make, {'torch': torch.add}\n")
    monkeypatch.setattr(gpu, "here", lambda: device)

    def measured(device, launcher, speed, repeats=0):
        return gpu.Timing(speed.label, "passed", None, 1e-4, moved=BYTES, flops=2e9, ratios={"torch": 1.25})

    monkeypatch.setattr(gpu, "time_speed", measured)
    with interpreting(Interpreter()):
        assert main(["--lang", "en", "kernel", f"{path}:add", "--arch", "80", "--pictures", str(tmp_path)]) == 0
        told = capsys.readouterr().out
        assert main(["kernel", f"{path}:add", "--arch", "80", "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
    assert "GPU: passed" in told and "Fake 1000" in told and "many: 100.0 us, 1.25 x torch" in told
    assert (tmp_path / "add-roofline.png").is_file()
    assert data["states"]["gpu"] == "passed" and data["gpu"]["speed"][0]["ratios"] == {"torch": 1.25}
    assert data["gpu"]["versions"] == {"torch": "0"}


def test_a_measured_point_stands_at_what_was_reached():
    import matplotlib

    matplotlib.use("Agg")
    from ladder.kernel_judge.pictures import roofline

    axes = roofline({"at most": (1e12, 1e9), "measured": (1e12, 1e9, 5e-3)})
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert [float(line.get_ydata()[0]) for line in points] == [989.0, 200.0]
    assert [line.get_fillstyle() for line in points] == ["none", "full"]
