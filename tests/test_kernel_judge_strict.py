"""The strict interpreter: what it says, what it counts, and its arithmetic against float64."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="NOT CHECKED: triton is not installed; `make triton` (no GPU is needed)")
sys.path.insert(0, str(Path(__file__).parent))
import kernel_samples as samples
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder.kernel_judge import rounding
from ladder.kernel_judge.findings import OutOfBounds
from ladder.kernel_judge.strict import Examiner, examine, strict
from ladder.kernel_judge.verdict import relative_error

HERE = Path(samples.__file__).read_text().split("\n")


def test_an_access_out_of_bounds_names_lanes_argument_program_and_line():
    report = examine(samples.with_kernel(samples.unmasked_kernel), *samples.vectors(100))
    finding = next(f for f in report.findings if f.argument == "y_ptr")
    assert finding.text.en == "reads out of bounds: 28 of 64 active lanes; nearest argument y_ptr[100], valid 0..99"
    assert finding.program == (1, 0, 0) and finding.index == 100
    assert HERE[finding.line - 1].strip() == finding.source
    assert finding.told("en").endswith(f"; program (1,0,0); line {finding.line}: {finding.source}")
    assert "程序 (1,0,0)" in finding.told("zh")
    with pytest.raises(OutOfBounds, match=r"28 of 64 active lanes"):
        strict(samples.with_kernel(samples.unmasked_kernel), *samples.vectors(100))


def test_an_access_beyond_a_view_names_row_and_column():
    (finding, *_) = Examiner(seed=0)(samples.with_kernel(samples.beyond_view_kernel, samples.launch_rows),
                            torch.randn(3, 128)[:, :100]).findings
    row = finding.program[0]
    assert f"x_ptr[{128 * row + 100}] = x_ptr[{row}, 100]" in finding.text.en
    assert "28 of 128 active lanes" in finding.text.en and "a view with gaps" in finding.text.en


def test_memory_outside_is_never_touched():
    around = torch.zeros(300)
    x, y = around[100:200], torch.ones(100)

    def launch(x, y):
        samples.unmasked_kernel[(2,)](x, y, x, 100, BLOCK=64)

    assert {f.kind for f in examine(launch, x, y).findings} >= {"OutOfBounds"}
    assert (around[:100] == 0).all() and (around[200:] == 0).all() and (x == 1).all()


def test_addresses_far_away_are_reported():
    @triton.jit
    def wild(x_ptr, out_ptr, BLOCK: tl.constexpr):
        i = tl.arange(0, BLOCK)
        tl.store(out_ptr + i, tl.load(x_ptr + i.to(tl.int64) * 99999999999999))

    def launch(x):
        out = torch.empty(16)
        wild[(1,)](x, out, BLOCK=16)
        return out

    assert "OutOfBounds" in [f.kind for f in examine(launch, torch.ones(16)).findings]


def test_the_order_of_programs_is_shuffled_by_the_seed():
    def orders(seed):
        return Examiner(seed=seed)(samples.persistent, *samples.vectors(100)).launches[0].order, Examiner(
            seed=seed)(samples.with_kernel(samples.add_kernel), *samples.vectors(1000)).launches[0].order

    assert orders(1) == orders(1) != orders(2)
    assert sorted(orders(3)[1]) == list(range(16))


def test_counts_of_bytes_sectors_and_flops():
    facts = examine(samples.with_kernel(samples.add_kernel), *samples.vectors(128)).facts
    assert (facts["bytes_loaded"], facts["bytes_stored"]) == (2 * 128 * 4, 128 * 4)
    assert (facts["sectors_loaded"], facts["sectors_stored"]) == (2 * 16, 16) and facts["sector_use"] == 1.0
    assert facts["programs"] == 2 and facts["launches"] == 1 and facts["rereads"] == 1.0
    facts = examine(samples.matmul, *samples.matrices(64, 96, 64)).facts
    assert facts["dot_flops"] == 2 * 64 * 96 * 64
    assert facts["unique_bytes_read"] == 4 * (64 * 96 + 96 * 64) and facts["rereads"] > 1
    strided = examine(samples.with_kernel(samples.add_kernel), *(v[::8] for v in samples.vectors(1024)))
    assert {f.kind for f in strided.findings} == {"OutOfBounds"}  # a kernel that ignores strides


def test_columns_use_an_eighth_of_each_sector():
    @triton.jit
    def column(x_ptr, out_ptr, stride, BLOCK: tl.constexpr):
        row = tl.arange(0, BLOCK)
        tl.store(out_ptr + tl.program_id(0) * BLOCK + row, tl.load(x_ptr + row * stride + tl.program_id(0)))

    def launch(x):
        out = torch.empty(x.shape[1], x.shape[0])
        column[(x.shape[1],)](x, out, x.stride(0), BLOCK=x.shape[0])
        return out

    x = torch.randn(32, 64)
    report = examine(launch, x)
    assert report.honest and (report.outputs == x.t()).all()
    assert report.facts["sectors_loaded"] == 32 * 64 and report.facts["sectors_stored"] == 4 * 64


def test_nothing_of_the_module_is_changed():
    before = dict(vars(samples))
    patched = {name: vars(tl.core.tensor).get(name) for name in ("__add__", "T", "sum", "reduce")}
    load = tl.load, tl.core.load, tl.sum, tl.range
    examine(samples.unusual, *samples.vectors())
    with pytest.raises(OutOfBounds):
        strict(samples.with_kernel(samples.unmasked_kernel), *samples.vectors(100))
    assert dict(vars(samples)) == before
    assert patched == {name: vars(tl.core.tensor).get(name) for name in patched}
    assert (tl.load, tl.core.load, tl.sum, tl.range) == load
    with pytest.raises(RuntimeError):
        samples.add_both(1, 2)


class Added(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        return samples.launch_add(samples.add_kernel, x, y)

    @staticmethod
    def backward(ctx, gradient):
        twice = samples.launch_add(samples.add_kernel, gradient.contiguous(), gradient.contiguous())
        return twice, twice


def test_kernels_inside_autograd():
    def launch(x, y, gradient):
        out = Added.apply(x, y)
        return (out, *torch.autograd.grad(out, (x, y), gradient))

    x, y, gradient = (torch.randn(100) for _ in range(3))
    report = examine(launch, x.requires_grad_(), y.requires_grad_(), gradient)
    assert report.honest, [f.told("en") for f in report.findings]
    out, for_x, for_y = report.outputs
    assert torch.equal(out, x + y) and torch.equal(for_x, 2 * gradient) and torch.equal(for_y, 2 * gradient)


def test_empty_and_zero_dimensional_tensors():
    empty = torch.empty(0)
    report = examine(samples.with_kernel(samples.add_kernel), empty, torch.empty(0))
    assert report.honest and report.outputs.shape == (0,)


def test_launchers_may_raise_their_own_errors():
    def launch(x):
        raise ValueError("odd sizes only")

    with pytest.raises(ValueError, match="odd sizes only"):
        examine(launch, torch.ones(4))


def test_in_a_notebook_the_line_is_the_cells():
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    assert shell.run_cell("import torch, triton\nimport triton.language as tl").success
    assert shell.run_cell(
        "# a cell of its own\n\n@triton.jit\ndef mine(x_ptr, out_ptr, BLOCK: tl.constexpr):\n"
        "    i = tl.arange(0, BLOCK)\n    tl.store(out_ptr + i, tl.load(x_ptr + i))\n"
        "def launch(x):\n    out = torch.empty(8)\n    mine[(1,)](x, out, BLOCK=8)\n    return out").success
    (finding,) = examine(shell.user_ns["launch"], torch.ones(5)).findings
    assert (finding.line, finding.source) == (6, "tl.store(out_ptr + i, tl.load(x_ptr + i))")
    assert set(shell.user_ns) >= {"mine", "launch"} and "__ladder__" not in shell.user_ns


def test_the_hole_is_not_written_yet():
    @triton.jit
    def hole(x_ptr, out_ptr):
        """A task."""
        tl.static_assert(False, "your code here")

    def launch(x):
        out = torch.empty_like(x)
        hole[(1,)](x, out)
        return out

    with pytest.raises(NotImplementedError):
        strict(launch, torch.ones(4))


# Arithmetic

@triton.jit
def dot_kernel(a_ptr, b_ptr, out_ptr, K, N: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr, ACC: tl.constexpr):
    i = tl.arange(0, N)
    acc = tl.zeros((N, N), ACC)
    for k in range(0, K, BK):
        j = k + tl.arange(0, BK)
        a = tl.load(a_ptr + i[:, None] * K + j[None, :])
        b = tl.load(b_ptr + j[:, None] * N + i[None, :])
        acc = tl.dot(a, b, acc, input_precision=PRECISION, out_dtype=ACC)
    tl.store(out_ptr + i[:, None] * N + i[None, :], acc.to(out_ptr.dtype.element_ty))


def dots(dtype, precision="tf32", acc=tl.float32, K=256, out=torch.float32):
    generator = torch.Generator().manual_seed(K)
    a, b = (torch.randn(s, generator=generator).to(dtype) for s in ((16, K), (K, 16)))

    def launch(a, b):
        c = torch.empty(16, 16, dtype=out)
        dot_kernel[(1,)](a, b, c, K, N=16, BK=32, PRECISION=precision, ACC=acc)
        return c

    return relative_error(strict(launch, a, b), a.double() @ b.double())


def test_dot_precisions_against_float64():
    assert dots(torch.bfloat16) < 1e-6  # products of bfloat16 are exact in float32
    assert dots(torch.float16) < 1e-6
    assert dots(torch.float32, "ieee") < 1e-6
    assert 1e-4 < dots(torch.float32, "tf32") < 8e-4  # 10 bits of mantissa
    assert dots(torch.float32, "tf32x3") < 1e-6
    assert dots(torch.float16, acc=tl.float16, K=2048, out=torch.float16) > 4 * dots(
        torch.float16, K=2048, out=torch.float16)
    assert 1e-3 < dots(torch.bfloat16, out=torch.bfloat16) < 3e-3  # the rounding of the output alone


@triton.jit
def bf16_kernel(x_ptr, y_ptr, out_ptr, top_ptr, N: tl.constexpr):
    i = tl.arange(0, N)
    x, y = tl.load(x_ptr + i), tl.load(y_ptr + i)
    z = (x + y) * x - y
    tl.store(out_ptr + i, tl.where(z > x, z, -x))
    tl.store(top_ptr, tl.max(x, axis=0))
    tl.store(top_ptr + 1, tl.sum(x.to(tl.float32), axis=0).to(tl.bfloat16))
    tl.store(top_ptr + 2, tl.sum(x, axis=0))


def test_bfloat16_rounds_each_operation():
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(128, generator=generator).bfloat16() for _ in range(2))

    def launch(x, y):
        out, top = torch.empty_like(x), x.new_empty(3)
        bf16_kernel[(1,)](x, y, out, top, N=128)
        return out, top

    out, top = strict(launch, x, y)
    z = (x + y) * x - y
    assert torch.equal(out, torch.where(z > x, z, -x))
    assert top[0] == x.max() and top[1] == x.float().sum().bfloat16()
    assert top[2] != top[1]  # as on a GPU: tl.sum adds bfloat16 numbers in bfloat16
    assert abs(top[2] - top[1]) < 0.5


@given(st.lists(st.floats(width=32), min_size=1, max_size=50))
@settings(max_examples=60, deadline=None)
def test_rounding_is_torchs(numbers):
    values = torch.tensor(numbers, dtype=torch.float32)
    bits = rounding.float32_to_bf16(values.numpy())
    ours, theirs = rounding.bf16_to_float32(bits), values.bfloat16().float().numpy()
    assert np.array_equal(ours, theirs, equal_nan=True)
    for name, dtype, largest in (("fp8e4nv", torch.float8_e4m3fn, 448.0), ("fp8e5", torch.float8_e5m2, 57344.0)):
        ours = rounding.fp8_to_float32(rounding.float32_to_fp8(values.numpy(), name), name)
        theirs = values.clamp(-largest, largest).to(dtype).float().numpy()
        assert np.array_equal(ours, theirs, equal_nan=True), name
    finite = values[values.abs() < 1e38].numpy()
    close = np.abs(rounding.tf32(finite) - finite) <= np.abs(finite) * 2.0**-11 + 1e-38
    assert close.all()


def test_every_float8_number_is_itself():
    codes = np.arange(256, dtype=np.uint8)
    for name, dtype in (("fp8e4nv", torch.float8_e4m3fn), ("fp8e5", torch.float8_e5m2),
                        ("fp8e4b8", torch.float8_e4m3fnuz), ("fp8e5b16", torch.float8_e5m2fnuz)):
        theirs = torch.from_numpy(codes).view(dtype).float().numpy()
        assert np.array_equal(rounding.fp8_to_float32(codes, name), theirs, equal_nan=True), name
        finite = np.isfinite(theirs)
        back = rounding.fp8_to_float32(rounding.float32_to_fp8(theirs[finite], name), name)
        assert np.array_equal(back, theirs[finite])


@triton.jit
def casts_kernel(x_ptr, to_int_ptr, to_half_ptr, wrapped_ptr, big_ptr, N: tl.constexpr):
    i = tl.arange(0, N)
    x = tl.load(x_ptr + i)
    tl.store(to_int_ptr + i, x.to(tl.int32))
    tl.store(to_half_ptr + i, x.to(tl.float16).to(tl.float32))
    tl.store(wrapped_ptr + i, (i * 1000003) * 1000003)
    tl.store(big_ptr + i, i.to(tl.int64) * 1000003 * 1000003)


def test_casts_and_overflow_as_on_a_gpu():
    x = torch.tensor([1.7, -1.7, 3e9, -3e9, float("nan"), 70000.0, 1e-8, 0.1])

    def launch(x):
        outs = (torch.empty(8, dtype=torch.int32), torch.empty(8), torch.empty(8, dtype=torch.int32),
                torch.empty(8, dtype=torch.int64))
        casts_kernel[(1,)](x, *outs, N=8)
        return outs

    ints, halves, wrapped, big = strict(launch, x)
    assert ints.tolist()[:6] == [1, -1, 2**31 - 1, -2**31, 0, 70000]
    assert halves[5] == float("inf") and torch.equal(halves[7], x[7].half().float())
    i = torch.arange(8)
    assert torch.equal(big, i * 1000003 * 1000003)
    assert torch.equal(wrapped, (i * 1000003 * 1000003).to(torch.int32))


@triton.jit
def scans_kernel(x_ptr, sums_ptr, back_ptr, sorted_ptr, where_ptr, chain_ptr, N: tl.constexpr):
    i = tl.arange(0, N)
    x = tl.load(x_ptr + i)
    tl.store(sums_ptr + i, tl.cumsum(x, axis=0))
    tl.store(back_ptr + i, tl.cumsum(x, axis=0, reverse=True))
    tl.store(sorted_ptr + i, tl.sort(x))
    tl.store(where_ptr, tl.argmax(x, axis=0))
    tl.store(where_ptr + 1, tl.argmin(x, axis=0, tie_break_left=True))
    tl.store(chain_ptr + i, (2 <= i < 5 and x == x).to(tl.int32))


def test_scans_sorting_and_chained_comparisons():
    x = torch.randn(16, generator=torch.Generator().manual_seed(3))

    def launch(x):
        outs = *(torch.empty(16) for _ in range(3)), torch.empty(2, dtype=torch.int32), torch.empty(
            16, dtype=torch.int32)
        scans_kernel[(1,)](x, *outs, N=16)
        return outs

    sums, back, ordered, where, chain = strict(launch, x)
    assert torch.allclose(sums, x.cumsum(0), atol=1e-5)
    assert torch.allclose(back, x.flip(0).cumsum(0).flip(0), atol=1e-5)
    assert torch.equal(ordered, x.sort().values)
    assert where.tolist() == [int(x.argmax()), int(x.argmin())]
    assert chain.tolist() == [0, 0, 1, 1, 1] + [0] * 11


@triton.jit
def language_kernel(x_ptr, o_ptr, i_ptr, N: tl.constexpr):
    i = tl.arange(0, N)
    x = tl.load(x_ptr + i)
    a, b = tl.split(tl.reshape(x, (N // 2, 2)))
    tl.store(o_ptr + i, tl.interleave(b, a))
    tl.store(o_ptr + N + i, tl.gather(x, i ^ 1, 0))
    tl.store(o_ptr + 2 * N + i, tl.ravel(tl.trans(tl.reshape(x, (N // 4, 4)))))
    tl.store(o_ptr + 3 * N + i, tl.clamp(x, -0.5, 0.5))
    tl.store(o_ptr + 4 * N + i, tl.erf(x))
    tl.store(o_ptr + 5 * N + i, tl.softmax(x))
    tl.store(o_ptr + 6 * N + i, tl.flip(x, 0))
    tl.store(o_ptr + 7 * N + i, tl.cumprod(x))
    tl.store(i_ptr + i, i // 3 - i % 5)
    tl.store(i_ptr + N + i, (i - 7) // 3)
    tl.store(i_ptr + 2 * N + i, (i - 7) % 3)
    tl.store(i_ptr + 3 * N + i, (i - 7) >> 1)
    tl.store(i_ptr + 4 * N + i, tl.xor_sum(i) + tl.cdiv(i, 3) + tl.where(i < 3 or i > 10, 1, 0)
             + tl.where(not (i == 4), 10, 0))  # noqa: SIM201
    tl.store(i_ptr + 5 * N + i, tl.sort(i * 7 % 16, descending=True))


def test_much_of_the_language():
    def launch(x):
        floats, ints = torch.empty(8, 16), torch.empty(6, 16, dtype=torch.int32)
        language_kernel[(1,)](x, floats, ints, N=16)
        return floats, ints

    x, n = torch.randn(16, generator=torch.Generator().manual_seed(5)), torch.arange(16)
    floats, ints = strict(launch, x)
    expected = [x.view(8, 2).flip(1).reshape(-1), x[n ^ 1], x.view(4, 4).t().reshape(-1), x.clamp(-0.5, 0.5), x.erf(),
                x.softmax(0), x.flip(0), x.cumprod(0)]
    for ours, right in zip(floats, expected, strict=True):
        assert torch.allclose(ours, right, atol=1e-6)
    down = torch.div(n - 7, 3, rounding_mode="trunc")  # whole numbers are divided as in C
    expected = [n // 3 - n % 5, down, n - 7 - 3 * down, (n - 7) >> 1,
                (n + 2) // 3 + ((n < 3) | (n > 10)) + 10 * (n != 4), (n * 7 % 16).sort(descending=True).values]
    for ours, right in zip(ints, expected, strict=True):
        assert torch.equal(ours.long(), right.long())


# Random kernels of a small grammar, against NumPy

UNARY = {"-{}": np.negative, "tl.exp({} * 0.1)": lambda v: np.exp(v * np.float32(0.1)), "tl.abs({})": np.abs,
         "tl.sqrt(tl.abs({}) + 1.0)": lambda v: np.sqrt(np.abs(v) + 1), "tl.where({0} > 0, {0}, 0.5 * {0})":
         lambda v: np.where(v > 0, v, np.float32(0.5) * v)}
BINARY = {"({} + {})": np.add, "({} - {})": np.subtract, "({} * {})": np.multiply,
          "tl.maximum({}, {})": np.maximum, "tl.minimum({}, {})": np.minimum,
          "({} / (tl.abs({}) + 1.0))": lambda a, b: a / (np.abs(b) + 1)}
REDUCE = {"tl.sum({}, axis={})": np.sum, "tl.max({}, axis={})": np.max, "tl.min({}, axis={})": np.min}
LEAVES = ("x", "y")


@st.composite
def expressions(draw, depth=3):
    """A Triton expression over blocks x and y, and the NumPy function that it means."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        leaf = draw(st.sampled_from(LEAVES))
        return leaf, (lambda x, y: x) if leaf == "x" else (lambda x, y: y)
    if draw(st.booleans()):
        form = draw(st.sampled_from(sorted(UNARY)))
        inner, f = draw(expressions(depth=depth - 1))
        return form.format(inner), lambda x, y: UNARY[form](f(x, y))
    form = draw(st.sampled_from(sorted(BINARY)))
    (left, f), (right, g) = draw(expressions(depth=depth - 1)), draw(expressions(depth=depth - 1))
    return form.format(left, right), lambda x, y: BINARY[form](f(x, y), g(x, y))


_made = iter(range(10**9))


def kernel_of(body):
    """A jit function of source text, as a notebook's cell would define it."""
    import linecache

    source = "\n".join([
        "@triton.jit",
        "def made(x_ptr, y_ptr, out_ptr, n, ROWS: tl.constexpr, COLUMNS: tl.constexpr):",
        "    row, column = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]",
        "    inside = column < n",
        "    x = tl.load(x_ptr + row * n + column, mask=inside, other=1.0)",
        "    y = tl.load(y_ptr + row * n + column, mask=inside, other=1.0)",
        *(f"    {line}" for line in body)])
    name = f"<made {next(_made)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    scope = {"triton": triton, "tl": tl}
    exec(compile(source, name, "exec"), scope)
    return scope["made"]


@given(expressions(), st.sampled_from(sorted(REDUCE)), st.integers(0, 1), st.integers(0, 99), st.sampled_from([8, 5]))
@settings(max_examples=30, deadline=None)
def test_random_kernels_equal_numpy(expression, reduction, axis, seed, n):
    text, meaning = expression
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(4, n)).astype(np.float32) for _ in range(2))
    full = [np.pad(v, ((0, 0), (0, 8 - n)), constant_values=1.0) for v in (x, y)]
    expected = REDUCE[reduction](meaning(*(v.astype(np.float64) for v in full)), axis=axis)
    size = "COLUMNS" if axis == 0 else "ROWS"
    kernel = kernel_of([f"out = {reduction.format(text, axis)}",
                        f"tl.store(out_ptr + tl.arange(0, {size}), out)"])

    def launch(x, y):
        out = torch.empty(8 if axis == 0 else 4)
        kernel[(1,)](x, y, out, n, ROWS=4, COLUMNS=8)
        return out

    report = Examiner(reads_all=False)(launch, torch.from_numpy(x), torch.from_numpy(y))
    assert report.honest, [f.told("en") for f in report.findings]
    assert np.allclose(report.outputs.numpy(), expected, rtol=2e-4, atol=2e-4), text
