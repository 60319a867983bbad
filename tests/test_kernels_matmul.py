"""The Triton matmul: interpreted strictly against a float32 product, outputs and gradients, and compiled.

No GPU is needed and none is used here; ``bench/kernels.py --gpu`` measures on one.
"""

import pytest
import torch

pytest.importorskip("triton", reason="NOT CHECKED: triton is not installed; `make triton` (no GPU is needed)")

from ladder.kernels import matmul as module
from ladder.kernels.matmul import Config, config_for, launch_matmul, matmul

from ladder.kernel_judge.gate import compile_launch, judge_static
from ladder.kernel_judge.strict import examine, strict
from ladder.kernel_judge.verdict import relative_error

SIZES = {  # (M, K, N)
    "1": (1, 1, 1), "one row": (1, 40, 9), "odd": (33, 65, 17), "power of two": (64, 32, 128),
    "larger than a block": (130, 100, 70), "long K": (5, 1001, 3), "no K": (3, 0, 5),
}
LAYOUTS = {  # how a 2-D array of a given shape lies in memory
    "rows": lambda x: x,
    "columns": lambda x: x.T.contiguous().T,
    "every other": lambda x: torch.stack([x, torch.full_like(x, torch.nan)], -1)[:, :, 0],
    "within a larger one": lambda x: torch.nn.functional.pad(x, (3, 8, 1, 1), value=torch.nan)[1:-1, 3:-8],
}
TOLERANCES = {torch.float16: 6e-4, torch.bfloat16: 5e-3, torch.float32: 8e-4}  # float32 is TF32's


def made(M, K, N, dtype=torch.float16, layout_a="rows", layout_b="rows"):
    generator = torch.Generator().manual_seed(M + K + N)
    return [LAYOUTS[layout](torch.randn(shape, generator=generator).to(dtype))
            for shape, layout in (((M, K), layout_a), ((K, N), layout_b))]


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_equals_the_float32_product(name, dtype):
    a, b = made(*SIZES[name], dtype)
    c = strict(matmul, a, b)
    assert c.dtype == dtype and c.is_contiguous()
    assert relative_error(c, a.float() @ b.float()) < TOLERANCES[dtype]


@pytest.mark.parametrize("layout_b", LAYOUTS)
@pytest.mark.parametrize("layout_a", LAYOUTS)
def test_any_strides(layout_a, layout_b):
    a, b = made(35, 70, 66, torch.float16, layout_a, layout_b)
    assert relative_error(strict(matmul, a, b), a.float() @ b.float()) < TOLERANCES[torch.float16]


def test_a_broadcast_operand_is_read_in_place():
    a, b = torch.rand(1, 40) + 0.5, torch.rand(40, 1) + 0.5  # positive: every output is the one sum, of no small one
    a, b = a.expand(20, 40), b.expand(40, 30)
    assert relative_error(strict(matmul, a, b), a @ b) < TOLERANCES[torch.float32]


@pytest.mark.parametrize("group", [1, 3, 8])
def test_the_grouped_order_visits_each_block_once(group, monkeypatch):
    monkeypatch.setattr(module, "INTERPRETED", Config(16, 16, 16, group, 4, 3))
    a, b = made(70, 20, 50)
    report = examine(matmul, a, b)
    assert report.findings == [] and report.facts["programs"] == 20
    assert relative_error(report.outputs, a.float() @ b.float()) < TOLERANCES[torch.float16]


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_float8_gives_float16(dtype):
    a, b = made(20, 70, 33, dtype)
    c = strict(matmul, a, b)
    assert c.dtype == torch.float16 and relative_error(c, a.float() @ b.float()) < TOLERANCES[torch.float16]


def gradients(a, b, dc, **options):
    a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
    return torch.autograd.grad(matmul(a, b, **options), (a, b), dc)


@pytest.mark.parametrize(("size", "dtype", "capability"), [
    ("1", torch.float32, None), ("odd", torch.float32, None), ("odd", torch.bfloat16, None),
    ("power of two", torch.float16, None), ("larger than a block", torch.float16, None),
    ("power of two", torch.float16, 90), ("power of two", torch.bfloat16, 90)])
def test_gradients_equal_the_float32_twin(size, dtype, capability):
    a, b = made(*SIZES[size], dtype)
    dc = torch.randn(a.shape[0], b.shape[1]).to(dtype)
    ours = strict(gradients, a, b, dc, capability=capability)
    twin = [x.float().requires_grad_() for x in (a, b)]
    theirs = torch.autograd.grad(twin[0] @ twin[1], twin, dc.float())
    for mine, right in zip(ours, theirs, strict=True):
        assert mine.dtype == dtype and relative_error(mine, right) < TOLERANCES[dtype]


def test_a_gradient_not_asked_for_is_not_computed():
    def only_b(a, b, dc):
        b = b.detach().requires_grad_()
        return torch.autograd.grad(matmul(a, b), b, dc)

    a, b = made(8, 8, 8)
    report = examine(only_b, a, b, torch.ones(8, 8, dtype=torch.float16))
    assert report.findings == [] and len(report.launches) == 2


@pytest.mark.parametrize(("size", "layout_a", "layout_b"), [
    ((64, 32, 128), "rows", "rows"), ((130, 100, 72), "rows", "rows"), ((136, 72, 264), "columns", "rows"),
    ((130, 72, 264), "rows", "columns"), ((200, 72, 520), "columns", "columns"), ((1, 40, 8), "rows", "rows")])
def test_descriptors_equal_the_float32_product(size, layout_a, layout_b):
    a, b = made(*size, torch.float16, layout_a, layout_b)
    report = examine(matmul, a, b, capability=90)
    report.raise_first()
    if size[1] % 8 == 0:  # else the rows of a do not begin where a copy engine can
        assert report.launches[0].name == "matmul_descriptor_kernel"
    assert relative_error(report.outputs, a.float() @ b.float()) < TOLERANCES[torch.float16]


@pytest.mark.parametrize(("size", "dtype", "capability"), [
    ((64, 64, 64), torch.float16, None), ((64, 64, 64), torch.float16, 80), ((64, 65, 64), torch.float16, 90),
    ((64, 64, 65), torch.float16, 90), ((64, 64, 64), torch.float32, 90)])
def test_pointers_where_descriptors_cannot_be(size, dtype, capability):
    a, b = made(*size, dtype)
    report = examine(matmul, a, b, capability=capability)
    assert [launch.name for launch in report.launches] == ["matmul_kernel"] and not report.findings
    assert relative_error(report.outputs, a.float() @ b.float()) < TOLERANCES[torch.float32]


def test_an_address_that_is_no_multiple_of_16_bytes_takes_pointers():
    a = torch.randn(64 * 64 + 1).half()[1:].view(64, 64)
    report = examine(matmul, a, torch.randn(64, 64).half(), capability=90)
    assert report.launches[0].name == "matmul_kernel" and not report.findings


@pytest.mark.parametrize(("a", "b", "says"), [
    (torch.ones(2, 3), torch.ones(2, 3), "(M, K) and (K, N)"), (torch.ones(3), torch.ones(3, 2), "two matrices"),
    (torch.ones(2, 3), torch.ones(3, 2).half(), "the same"),
    (torch.ones(2, 3, dtype=torch.int32), torch.ones(3, 2, dtype=torch.int32), "the same of float16")])
def test_what_cannot_be_multiplied_is_refused(a, b, says):
    with pytest.raises(ValueError) as refused:
        matmul(a, b)
    assert says in str(refused.value)


def test_nothing_is_launched_for_an_empty_product():
    assert matmul(torch.ones(0, 3), torch.ones(3, 2)).shape == (0, 2)


def test_few_blocks_take_smaller_ones():
    assert config_for(90, 2, 4096, 4096, 132).BLOCK_N == 256
    assert config_for(90, 2, 512, 512, 132).BLOCK_N == 128
    assert config_for(89, 2, 4096, 4096, 100) == config_for(80, 2, 4096, 4096, 100)
    assert config_for(0, 2, 4096, 4096, 100) == module.INTERPRETED


CORES = {80: "mma", 90: "wgmma", 100: "tcgen05"}


@pytest.mark.parametrize(("arch", "dtype", "layout"), [
    (80, torch.float16, "rows"), (90, torch.float16, "rows"), (90, torch.bfloat16, "columns"),
    (100, torch.float16, "rows"), (80, torch.float32, "rows"), (90, torch.float32, "rows")])
def test_compiles_to_tensor_cores_without_spills(arch, dtype, layout):
    a, b = made(128, 64, 512, dtype, layout)
    report = examine(launch_matmul, a, b, capability=arch)
    report.raise_first()
    compiled = compile_launch(report.launches[0], arch)
    assert compiled.failure is None, compiled.failure
    assert [fact.name for fact in judge_static(compiled, "matmul") if fact.state != "passed"] == []
    assert not compiled.spills and compiled.tensor_cores == CORES[arch]
    assert (compiled.tma > 0) == (arch >= 90 and dtype != torch.float32)
