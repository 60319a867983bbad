"""The reference kernels on rows, from vector add to cross-entropy: each against its float32 PyTorch twin,
interpreted strictly, outputs and gradients; and compiled ahead of time. Neither needs a GPU."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("triton", reason="NOT CHECKED: triton is not installed; `make triton` (no GPU is needed)")
sys.path.insert(0, str(Path(__file__).parent))
from kernel_twins import (
    ALL,
    DTYPES,
    asked_architectures,
    assert_compiles,
    compared,
    gpu,
    launches,
    with_gradients,
)
from ladder.kernels import rows
from ladder.kernels.cross_entropy import cross_entropy
from ladder.kernels.layernorm import layernorm
from ladder.kernels.rmsnorm import rmsnorm
from ladder.kernels.rope import rope
from ladder.kernels.softmax import softmax
from ladder.kernels.swiglu import swiglu
from ladder.kernels.vector_add import vector_add
from ladder.solutions.stage2_architecture.day21_rope import rope_tables

from ladder.kernel_judge.lint import lint
from ladder.kernel_judge.strict import Examiner, strict


def rope_twin(q, k, cos, sin):
    def turned(x):
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)
    return turned(q), turned(k)


TWINS = {  # kernel: what it computes, in PyTorch
    softmax: lambda x: x.softmax(-1),
    layernorm: lambda x, w, b: (x - x.mean(-1, keepdim=True)) * torch.rsqrt(
        x.var(-1, keepdim=True, correction=0) + 1e-5) * w + b,
    rmsnorm: lambda x, w: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * w,
    swiglu: lambda gate, up: F.silu(gate) * up,
    cross_entropy: lambda z, target: F.cross_entropy(z, target, reduction="none", ignore_index=-100),
}
# Interpreted, a tile holds 512 numbers and a row longer than that is read in blocks of 256.
SHAPES = [(1, 1), (3, 7), (2, 64), (130, 5), (9, 256), (5, 600), (2, 1024)]


def inputs_of(function, shape, dtype=torch.float32, device="cpu", seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*size):
        return torch.randn(size, generator=generator).to(device, dtype)

    x = normal(*shape) * 2 + 1
    if function is cross_entropy:
        target = torch.randint(shape[-1], (shape[0],), generator=generator)
        target[1::3] = -100
        return [x, target.to(device)]
    others = {softmax: [], swiglu: [shape], rmsnorm: [shape[-1:]], layernorm: [shape[-1:]] * 2}[function]
    return [x, *(normal(*size) for size in others)]


def turns(B, Hq, Hkv, T, d, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(T)
    q, k = (torch.randn(B, H, T, d, generator=generator).to(device, dtype) for H in (Hq, Hkv))
    return [q, k], [t.to(device) for t in rope_tables(T, d)]


@pytest.mark.parametrize(("shape", "dtype"), [
    *((shape, torch.float32) for shape in SHAPES),
    *((shape, dtype) for shape in [(3, 7), (5, 600)] for dtype in DTYPES[1:])], ids=str)
@pytest.mark.parametrize("function", TWINS, ids=lambda f: f.__name__)
def test_equals_its_twin(function, shape, dtype):
    compared(function, TWINS[function], inputs_of(function, shape, dtype))


@pytest.mark.parametrize("n", [1, 7, 512, 1025])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_vector_add(n, dtype):
    x, y = torch.randn(2, n).to(dtype)
    report = Examiner(seed=0)(vector_add, x, y)
    assert report.honest and torch.equal(report.outputs, x + y)
    got = with_gradients(lambda x, y: strict(vector_add, x, y), [x, y], [x])
    assert torch.equal(got[1], x) and torch.equal(got[2], x)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 2), (2, 3, 1, 7, 6), (1, 4, 2, 40, 16), (1, 2, 2, 3, 160)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rope(sizes, dtype):
    inputs, (cos, sin) = turns(*sizes, dtype)

    def turned(cos, sin):
        return lambda q, k: rope(q, k, cos, sin)

    expected = with_gradients(lambda q, k: rope_twin(q, k, cos, sin), [t.float() for t in inputs],
                              [t.float() for t in inputs])
    report = Examiner(seed=0)(lambda q, k, cos, sin: with_gradients(turned(cos, sin), [q, k], [q, k]), *inputs, cos, sin)
    assert report.honest
    for got, right in zip(report.outputs, expected, strict=True):
        assert got.dtype == dtype
        assert (got.float() - right).norm() <= {torch.float32: 2e-6, torch.float16: 6e-4}.get(dtype, 5e-3) * right.norm()


def test_rope_of_transposed_projections_keeps_their_layout():
    (q, k), (cos, sin) = turns(2, 3, 1, 7, 8)
    laid = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, k)]
    for got, right in zip(strict(rope, *laid, cos, sin), rope_twin(q, k, cos, sin), strict=True):
        torch.testing.assert_close(got, right)
    assert strict(rope, *laid, cos, sin)[0].stride() == laid[0].stride()


# Rows as they lie

@pytest.mark.parametrize("n", [7, 600])
@pytest.mark.parametrize("function", TWINS, ids=lambda f: f.__name__)
def test_rows_with_gaps_are_read_as_they_lie(function, n):
    wide, *others = inputs_of(function, (5, n + 9))
    x = wide[:, 4:n + 4]
    others = [t if t.shape == (5,) else t[..., :n].contiguous() for t in others]
    if function is cross_entropy:
        others[0] = others[0].clamp(max=n - 1)
    assert not x.is_contiguous()
    compared(function, TWINS[function], [x, *others])


@pytest.mark.parametrize("function", [softmax, layernorm, rmsnorm, swiglu], ids=lambda f: f.__name__)
def test_any_number_of_leading_axes(function):
    compared(function, TWINS[function], inputs_of(function, (2, 3, 2, 5)))
    if function is not swiglu:
        compared(function, TWINS[function], inputs_of(function, (11,)))


@pytest.mark.parametrize("function", TWINS, ids=lambda f: f.__name__)
def test_gradients_with_odd_strides_are_taken(function):
    x, *others = inputs_of(function, (3, 5))
    leaf = x.clone().requires_grad_()
    strict(lambda x, *others: function(x, *others), x, *others)
    examined = Examiner(seed=0, allow=("sum",))(
        lambda x: torch.autograd.grad(function(leaf, *others).sum(), leaf)[0], x)
    twin = torch.autograd.grad(TWINS[function](leaf, *others).sum(), leaf)[0]
    torch.testing.assert_close(examined.outputs, twin, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("function", TWINS, ids=lambda f: f.__name__)
def test_what_cannot_be_read_is_refused(function):
    x, *others = inputs_of(function, (4, 6))
    with pytest.raises(ValueError, match=r"contiguous"):
        function(x.t().contiguous().t(), *others)
    with pytest.raises(ValueError, match="float32, float16 or bfloat16"):
        function(x.double(), *others)
    if function is not cross_entropy:
        with pytest.raises(ValueError, match=r"not one\s+stride apart"):
            x = torch.randn(2, 3, 7)[:, :, :6].transpose(0, 1)
            function(x, *[t if t.dim() == 1 else x for t in others])


def test_arguments_that_do_not_fit_are_refused():
    x, w = torch.randn(3, 4), torch.randn(4)
    for call in (lambda: vector_add(x, x[:2]), lambda: vector_add(x.t(), x.t()), lambda: vector_add(x, x.half()),
                 lambda: layernorm(x, w[:3], w), lambda: layernorm(x, w, w.half()), lambda: rmsnorm(x, w[:3]),
                 lambda: rmsnorm(x, torch.randn(8)[::2]), lambda: swiglu(x, x[:, :3]), lambda: softmax(torch.tensor(1.0)),
                 lambda: cross_entropy(x, torch.zeros(4, dtype=torch.int64)), lambda: cross_entropy(x, w[:3]),
                 lambda: rope(*[torch.zeros(1, 1, 2, 3)] * 2, *[torch.zeros(2, 1)] * 2),
                 lambda: rope(*[torch.zeros(1, 1, 2, 4)] * 2, *[torch.zeros(3, 2)] * 2)):
        with pytest.raises(ValueError):
            call()


@pytest.mark.parametrize("function", TWINS, ids=lambda f: f.__name__)
def test_second_derivatives_are_refused_not_wrong(function):
    def twice(x, *others):
        leaf = x.detach().requires_grad_()
        y = function(leaf, *others)
        (slope,) = torch.autograd.grad(y, leaf, torch.ones_like(y), create_graph=True)
        return torch.autograd.grad(slope, leaf, torch.ones_like(slope))

    with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
        Examiner(seed=0)(twice, *inputs_of(function, (3, 5)))


@pytest.mark.parametrize("function", TWINS, ids=lambda f: f.__name__)
def test_no_rows_at_all(function):
    got = with_gradients(function, inputs_of(function, (0, 5)), [torch.zeros(0, *([] if function is cross_entropy else [5]))])
    assert got[0].numel() == 0 and all(not g.any() for g in got[1:])


def test_rows_of_any_dense_or_sliced_shape():
    x = torch.arange(720).view(4, 3, 5, 12)
    for view in (x, x[:, :, :, 2:9], x[1:3], x[:, 1:2, 2:3], x[2, 1, 4], x[::2, 1, 1], x[..., :1],
                 x.transpose(0, 1)[:, 1]):
        assert torch.equal(rows.as_rows(view, "x"), view.reshape(-1, view.shape[-1]))
    for view in (x[:, :1], x[::2, 1], x[:, :2], x[:, :, ::2], x.transpose(0, 1), x[..., ::2]):
        with pytest.raises(ValueError, match=r"apart|contiguous"):
            rows.as_rows(view, "x")
    with pytest.raises(ValueError, match="at least one axis"):
        rows.as_rows(torch.tensor(1.0), "x")


@pytest.mark.parametrize("file", ["rows", *(f.__name__ for f in TWINS), "rope", "vector_add", "quantised_matmul"])
def test_lint_finds_nothing(file):
    assert lint((Path(rows.__file__).parent / f"{file}.py").read_text()) == []


# What numbers are hard

@pytest.mark.parametrize("n", [6, 600])
def test_softmax_of_large_and_infinite_numbers(n):
    x = torch.randn(4, n) * 3
    x[0] += 3e4
    x[1, n // 2:] = -torch.inf
    x[2, :n // 2] = -torch.inf
    x[3] = -torch.inf
    compared(softmax, TWINS[softmax], [x[:3]])
    assert strict(softmax, x).isnan().any(1).tolist() == [False, False, False, True]


@pytest.mark.parametrize("n", [64, 600])
def test_a_mean_far_from_zero_costs_layernorm_no_digits(n):
    x, w, b = inputs_of(layernorm, (4, n))
    x = (x.double() + 1000).float()
    expected = F.layer_norm(x.double(), (n,), w.double(), b.double())
    error = (strict(layernorm, x, w, b) - expected).norm() / expected.norm()
    assert error < 1e-4                                    # float32 holds 1000 to 6e-5


def test_cross_entropy_of_hard_rows():
    z = torch.randn(6, 600) * 3
    z[0] += 300                                            # exp(300) is no float32
    z[1, 300:] = -torch.inf
    target = torch.tensor([1, 2, -100, 599, 0, 5], dtype=torch.int32)
    compared(cross_entropy, lambda z, t: TWINS[cross_entropy](z, t.long()), [z, target], slack=10)
    loss, dz = strict(lambda z, t: with_gradients(cross_entropy, [z, t], [torch.ones(3)]),
                      z[:3], torch.tensor([600, 2, -1]))
    assert loss.isnan().tolist() == [True, False, True] == dz.isnan().all(1).tolist()
    assert (strict(lambda z, t: cross_entropy(z, t, ignore_index=-1), z[:2], torch.tensor([-1, 3]))[0] == 0).all()


# Determinism and cost

@pytest.mark.parametrize("function", [layernorm, rmsnorm], ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", [(400, 6), (9, 600)], ids=str)
def test_the_order_of_programs_changes_no_bit_of_a_weights_gradient(function, shape):
    inputs = inputs_of(function, shape)
    runs = [compared(function, TWINS[function], inputs, seed=0).outputs]
    douts = [torch.randn(shape, generator=torch.Generator().manual_seed(0))]
    runs.append(Examiner(seed=7)(lambda *a: with_gradients(function, a, douts), *inputs).outputs)
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize("function", [softmax, layernorm, rmsnorm, swiglu, cross_entropy], ids=lambda f: f.__name__)
def test_moves_what_its_docstring_says(function):
    inputs = inputs_of(function, (16, 512), torch.float16)
    if function is cross_entropy:
        inputs[1] = inputs[1].clamp(min=0)                 # a row to be ignored is not read
    report = Examiner(seed=0)(lambda *inputs: function(*inputs), *inputs)
    ideal = {swiglu: 3, cross_entropy: 1}.get(function, 2) * inputs[0].numel() * 2
    weights = sum(t.numel() * 2 for t in inputs if t.dim() == 1 and t.is_floating_point())
    moved = report.facts["bytes_loaded"] + report.facts["bytes_stored"]
    assert ideal <= moved <= ideal + 16 * (weights + 24)   # once a program, and a few numbers a row
    assert report.facts["sector_use"] > 0.8


# Compiled

def compiled_cases():
    """Name, function and inputs: small, but of sizes for which tiles are as on a GPU."""
    def turned(q, k):
        return rope(q, k, torch.ones(16, 64), torch.ones(16, 64))

    def bf16(*shape):
        return torch.randn(shape).bfloat16()

    for size, n in (("short", 4096), ("long", 20480)):
        yield f"softmax, {size} rows", softmax, [bf16(2, n)]
        if ALL or size == "short":                         # layernorm's long kernels are the larger ones
            yield f"rmsnorm, {size} rows", rmsnorm, [bf16(2, n), bf16(n)]
    if ALL:
        yield "layernorm, short rows of bfloat16", layernorm, [bf16(2, 4096), bf16(4096), bf16(4096)]
        yield "rmsnorm, 16384", rmsnorm, [torch.randn(1, 16384), torch.randn(16384)]
        yield "layernorm, 16384", layernorm, [torch.randn(1, 16384), *torch.randn(2, 16384)]
        yield "softmax, 16384", softmax, [torch.randn(1, 16384)]
        yield "softmax, 64", softmax, [bf16(64, 64)]
    yield "layernorm, short rows", layernorm, [*torch.randn(1, 2, 8192), *torch.randn(2, 8192)]  # all registers there are
    yield "layernorm, long rows", layernorm, [bf16(2, 20480), bf16(20480), bf16(20480)]
    yield "vector_add", lambda x, y: vector_add(x, y), [bf16(8192), bf16(8192)]
    yield "swiglu", swiglu, [bf16(2, 4096), bf16(2, 4096)]
    yield "rope", turned, [bf16(1, 4, 16, 128), bf16(1, 4, 16, 128)]
    yield "cross_entropy", cross_entropy, [bf16(2, 32000), torch.tensor([3, 5])]


CLASSES = {"column_sums_kernel": "reduction", "cross_entropy_kernel": "reduction"}  # they write little


@pytest.mark.xdist_group("kernels_rowwise")
@pytest.mark.parametrize(
    ("function", "inputs", "arch"),
    [pytest.param(*case, arch, id=f"{name}, sm_{arch}")
     for number, (name, *case) in enumerate(compiled_cases()) for arch in asked_architectures(number)])
def test_compiles_without_spills_and_with_wide_accesses(function, inputs, arch, monkeypatch):
    monkeypatch.setattr(rows, "architecture", lambda x: arch)
    for name, launch in launches(function, inputs).items():
        assert_compiles(launch, arch, CLASSES.get(name, "elementwise"))


# On a GPU, compiled

@gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (333, 7), (64, 4096), (9, 16384), (5, 50257)], ids=str)
@pytest.mark.parametrize("function", TWINS, ids=lambda f: f.__name__)
def test_on_the_gpu_equals_its_twin(function, shape, dtype):
    compared(function, TWINS[function], inputs_of(function, shape, dtype, "cuda"), interpreted=False, slack=2)


@gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rope_on_the_gpu(dtype):
    inputs, tables = turns(2, 8, 2, 100, 128, dtype, "cuda")
    compared(lambda q, k: rope(q, k, *tables), lambda q, k: rope_twin(q, k, *tables), inputs,
             interpreted=False, slack=2)
