"""For the tests of the reference kernels: a kernel beside its PyTorch twin, and its compiled forms.

The twin computes in float32 what the kernel computes, from the same rounded inputs. Outputs and
gradients come from one strictly interpreted run: nothing out of bounds, no race, nothing unwritten,
and no float computed by torch on the way.
"""

import os

import pytest
import torch

from ladder.kernel_judge.agreement import TOLERANCES
from ladder.kernel_judge.gate import compile_launch, judge_static
from ladder.kernel_judge.strict import Examiner

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
ARCHITECTURES = (80, 90, 100)
ALL = bool(os.environ.get("LADDER_ALL_ARCHITECTURES"))  # compile each kernel for each of them: minutes
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT CHECKED: needs a GPU")


def leaves(inputs, learned=None):
    """``inputs`` as leaves, of which the floats among the first ``learned`` (all if None) want a gradient."""
    return [t.detach().requires_grad_(t.is_floating_point() and (learned is None or number < learned))
            for number, t in enumerate(inputs)]


def with_gradients(function, inputs, douts, learned=None):
    """The outputs of ``function`` and the gradients of the first ``learned`` inputs that are floats, in one tuple."""
    inputs = leaves(inputs, learned)
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    wanted = [t for t in inputs if t.requires_grad]
    return (*(o.detach() for o in outputs), *torch.autograd.grad(outputs, wanted, douts))


def compared(function, twin, inputs, seed=0, interpreted=True, slack=1.0, learned=None):
    """Run both, assert that they agree within the tolerance of each result's type, and return the report."""
    wide = [t.float() if t.is_floating_point() else t for t in inputs]
    with torch.no_grad():
        like = twin(*wide)
    like = like if isinstance(like, tuple) else (like,)
    generator = torch.Generator().manual_seed(seed)
    first = next(t for t in inputs if t.is_floating_point())
    kind = torch.float32 if function.__name__ == "cross_entropy" else first.dtype
    douts = [torch.randn(o.shape, generator=generator).to(first.device, kind) for o in like]
    expected = with_gradients(twin, wide, [d.float() for d in douts], learned)
    if interpreted:
        report = Examiner(seed=seed)(lambda *both: with_gradients(function, *both, learned), inputs, douts)
        assert [f.told("en") for f in report.findings] == []
        got = report.outputs
    else:
        report, got = None, with_gradients(function, inputs, douts, learned)
    for number, (ours, right) in enumerate(zip(got, expected, strict=True)):
        assert ours.shape == right.shape
        assert ours.dtype == (kind if number < len(douts) else first.dtype), f"type of result {number}"
        error = (ours.double() - right.double()).norm() / (right.double().norm() + 1)  # many gradients of one number are 0
        allowed = slack * TOLERANCES[ours.dtype] * (1 if number < len(douts) else 2)   # rounded twice on the way back
        assert error <= allowed, f"result {number} differs: {error:.2g}, allowed {allowed:.2g}"
    return report


def launches(function, inputs, learned=None):
    """Every launch of ``function`` forward and backward by its kernel's name, for shapes quick to interpret."""
    def both(inputs):
        inputs = leaves(inputs, learned)
        outputs = function(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        wanted = [t for t in inputs if t.requires_grad]
        torch.autograd.grad(outputs, wanted, [torch.zeros_like(o) for o in outputs])
    return {launch.name: launch for launch in Examiner(seed=0)(both, inputs).launches}


def asked_architectures(number):
    """One architecture a kernel, all of them in turn; with LADDER_ALL_ARCHITECTURES=1 each for each kernel."""
    return ARCHITECTURES if ALL else (ARCHITECTURES[number % len(ARCHITECTURES)],)


def assert_compiles(launch, arch, kind):
    """``launch`` compiles for ``sm_{arch}``, without spills and with what ``kind`` asks for."""
    made = compile_launch(launch, arch)
    assert made.failure is None, made.failure.told("en")
    assert {fact.name: fact.state for fact in judge_static(made, kind) if fact.state != "passed"} == {}, made
