"""The products with int8 and int4 weights: each against its float32 PyTorch twin, interpreted strictly,
outputs and the gradient of x; and compiled ahead of time. Neither needs a GPU."""

import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="NOT CHECKED: triton is not installed; `make triton` (no GPU is needed)")
sys.path.insert(0, str(Path(__file__).parent))
from kernel_twins import ALL, DTYPES, asked_architectures, assert_compiles, compared, gpu, launches
from ladder.kernels import rows
from ladder.kernels.quantised_matmul import int4_matmul, int8_matmul

from ladder.kernel_judge.strict import Examiner, strict


def int8_weights(N, K, dtype=torch.float32):
    """int8 weights and their scales."""
    generator = torch.Generator().manual_seed(N * K)
    w = torch.randint(-128, 128, (N, K), dtype=torch.int8, generator=generator)
    scales = (torch.rand(N, generator=generator) + 0.1).to(dtype) / 64
    return [w, scales]


def int4_weights(N, K, group, dtype=torch.float32):
    """Packed weights, scales and zeros."""
    generator = torch.Generator().manual_seed(N * K)
    packed = torch.randint(256, (N, K // 2), dtype=torch.uint8, generator=generator)
    scales = (torch.rand(K // group, N, generator=generator) + 0.1).to(dtype) / 8
    zeros = torch.randint(16, (K // group, N), dtype=torch.uint8, generator=generator)
    return [packed, scales, zeros]


def activations(M, K, dtype=torch.float32):
    return torch.randn(M, K, generator=torch.Generator().manual_seed(M)).to(dtype)


def int4_twin(x, packed, scales, zeros):
    q = torch.stack([packed & 15, packed >> 4], -1).flatten(-2).float()
    s, z = (t.T.float().repeat_interleave(q.shape[1] // len(t), 1) for t in (scales, zeros))
    return x @ ((q - z) * s).T


def int8_twin(x, w, scales):
    return x @ (w.float() * scales[:, None]).T


def int4(x, packed, scales, zeros, **how):
    return int4_matmul(x, packed, scales, zeros, x.shape[-1] // len(scales), **how)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 37, 160), (16, 64, 64), (40, 33, 70), (2, 5, 600)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_int8_equals_its_twin(sizes, dtype):
    compared(int8_matmul, int8_twin, [activations(*sizes[::2], dtype), *int8_weights(*sizes[1:], dtype)], learned=1)


@pytest.mark.parametrize("sizes", [(1, 1, 64, 64), (3, 37, 192, 64), (16, 64, 64, 64), (40, 33, 128, 128),
                                   (2, 5, 768, 192)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_int4_equals_its_twin(sizes, dtype):
    M, N, K, group = sizes
    compared(int4, int4_twin, [activations(M, K, dtype), *int4_weights(N, K, group, dtype)], learned=1)


@pytest.mark.parametrize("splits", [1, 2, 3, 100])
@pytest.mark.parametrize("M", [2, 20])
def test_splits_change_rounding_alone(M, splits):
    x = activations(M, 384, torch.float16)
    for function, twin, weights in [(int8_matmul, int8_twin, int8_weights(9, 384)),
                                    (int4, int4_twin, int4_weights(9, 384, 64))]:
        report = compared(lambda x, *w: function(x, *w, splits=splits), twin, [x, *weights], learned=1)
        assert [launch.name for launch in report.launches][1:-1] == ["column_sums_kernel"] * (splits > 1)


def test_every_4_bit_number_and_zero_is_exact():
    for dtype in DTYPES:
        packed = torch.arange(256, dtype=torch.uint8).repeat(16, 1).T.contiguous()     # (256, 16): 32 channels
        packed = packed.repeat(1, 2)                                                   # (256, 32): 64 channels
        x = torch.zeros(2, 64, dtype=dtype)
        x[0, 0] = x[1, 63] = 1
        for zero in (0, 7, 15):
            got = strict(int4, x, packed, torch.ones(1, 256), torch.full((1, 256), zero, dtype=torch.uint8))
            byte = torch.arange(256)
            assert torch.equal(got, (torch.stack([byte & 15, byte >> 4]) - zero).to(dtype))


def test_rows_with_gaps_and_leading_axes_are_taken():
    w, scales = int8_weights(6, 96)
    wide = torch.cat([w, w], 1)[:, 20:116]
    compared(int8_matmul, int8_twin, [activations(5, 100)[:, 3:99], wide, scales], learned=1)
    compared(int8_matmul, int8_twin, [activations(12, 96).view(2, 3, 2, 96), w, scales], learned=1)
    packed, *rest = int4_weights(6, 128, 64)
    wide = torch.cat([packed, packed], 1)[:, 20:84]
    compared(int4, lambda x, p, *rest: int4_twin(x, p, *rest), [activations(5, 140)[:, 3:131], wide, *rest], learned=1)
    assert int8_matmul(torch.zeros(0, 96), w, scales).shape == (0, 6)


def test_weights_are_read_once():
    for function, weights in [(int8_matmul, int8_weights(64, 512)), (int4, int4_weights(64, 512, 128))]:
        report = Examiner(seed=0)(lambda *a: function(*a), activations(16, 512, torch.float16), *weights)
        narrow = weights[0].numel()
        x = 2 * 16 * 512 * 2                                              # once a tile of 32 columns
        rest = sum(t.numel() * t.element_size() for t in weights[1:]) + 3 * 4 * 4 * 16 * 64
        moved = report.facts["bytes_loaded"] + report.facts["bytes_stored"]
        assert narrow + x < moved <= narrow + x + 2 * rest and report.facts["sector_use"] > 0.9


def test_what_does_not_fit_is_refused():
    x, (w, scales), (packed, s, z) = activations(2, 64), int8_weights(3, 64), int4_weights(3, 64, 64)
    for message, call in {
        "must be \\(N, 64\\) of torch.int8": lambda: int8_matmul(x, w.float(), scales),
        "scales must be contiguous of shape": lambda: int8_matmul(x, w, scales[:2]),
        "last axis of weight_int8 must be contiguous": lambda: int8_matmul(x, w.t().contiguous().t(), scales),
        "last axis of x must be contiguous": lambda: int8_matmul(x.t().contiguous().t(), w, scales),
        "must be \\(N, 32\\) of torch.uint8": lambda: int4_matmul(x, packed[:, :31], s, z, 64),
        "group_size must be": lambda: int4_matmul(x, packed, s, z, 48),
        "zeros must be uint8": lambda: int4_matmul(x, packed, s, z.float(), 64),
        "zeros must be contiguous": lambda: int4_matmul(x, packed, s, z.repeat(2, 1), 64),
        "x must be float32": lambda: int4_matmul(x.double(), packed, s, z, 64),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()


# Compiled

def compiled_cases():
    """Name, function, inputs and class: small, but of sizes for which tiles are as on a GPU."""
    for M in (16, 128):
        x = activations(M, 512, torch.bfloat16)
        if ALL or M == 16:
            yield f"int8, {M} rows", int8_matmul, [x, *int8_weights(128, 512, torch.bfloat16)], "matmul"
        yield f"int4, {M} rows", int4, [x, *int4_weights(128, 512, 128, torch.bfloat16)], "matmul"
    if ALL:
        for M in (16, 128):
            yield f"int8, {M} rows, float32", int8_matmul, [activations(M, 512), *int8_weights(128, 512)], "reduction"
            yield f"int4, {M} rows, float32", int4, [activations(M, 512), *int4_weights(128, 512, 128)], "reduction"


@pytest.mark.xdist_group("kernels_quantised")
@pytest.mark.parametrize(
    ("function", "inputs", "kind", "arch"),
    [pytest.param(*case, arch, id=f"{name}, sm_{arch}")
     for number, (name, *case) in enumerate(compiled_cases()) for arch in asked_architectures(number)])
def test_compiles_to_tensor_cores_and_asynchronous_copies(function, inputs, kind, arch, monkeypatch):
    monkeypatch.setattr(rows, "architecture", lambda x: arch)
    for name, launch in launches(function, inputs, learned=1).items():
        assert_compiles(launch, arch, "reduction" if name == "column_sums_kernel" else kind)


# On a GPU, compiled

@gpu
@pytest.mark.parametrize("sizes", [(1, 4096, 4096), (16, 1000, 4096), (300, 1024, 1024)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_on_the_gpu_equals_its_twin(sizes, dtype):
    M, N, K = sizes
    for function, twin, weights in [(int8_matmul, int8_twin, int8_weights(N, K, dtype)),
                                    (int4, int4_twin, int4_weights(N, K, 128, dtype))]:
        inputs = [t.cuda() for t in (activations(M, K, dtype), *weights)]
        compared(function, twin, inputs, interpreted=False, slack=2, learned=1)
