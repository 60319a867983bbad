"""The Triton FlashAttention kernels, without a GPU: interpreted strictly against the whole matrix of scores in
float32, outputs, log-sum-exp and gradients; causal tiles that nobody sees counted; compiled ahead of time.
They are not *run* on a GPU here.
"""

import math

import pytest
import torch

triton = pytest.importorskip(
    "triton", reason="NOT CHECKED: triton is not installed, so kernels/flash_attention.py was neither interpreted "
    "nor compiled; `make triton`, which works without a GPU")
tl = triton.language

from ladder.kernels import flash_attention as flash  # noqa: E402

from ladder.kernel_judge.gate import SHARED, compile_launch  # noqa: E402
from ladder.kernel_judge.strict import Examiner, examine, strict  # noqa: E402
from ladder.kernel_judge.verdict import relative_error  # noqa: E402

TOLERANCE = {torch.float32: 8e-4, torch.float16: 8e-4, torch.bfloat16: 6e-3}  # float32 is multiplied in TF32

# name: (B, Hq, Hkv, N, M, d, dtype, causal); blocks of the interpreted launches are 32 by 16
CASES = {
    "one query, one key": (1, 1, 1, 1, 1, 16, torch.float16, False),
    "one query, one key, causal": (1, 1, 1, 1, 1, 16, torch.float32, True),
    "powers of two": (1, 2, 2, 64, 32, 32, torch.float16, False),
    "powers of two, causal": (1, 1, 1, 64, 64, 16, torch.float16, True),
    "odd": (1, 1, 1, 37, 53, 16, torch.float16, False),
    "odd, causal, more keys": (2, 1, 1, 37, 53, 16, torch.bfloat16, True),
    "odd, causal, fewer keys": (1, 1, 1, 53, 37, 16, torch.float16, True),
    "decoding": (1, 2, 1, 1, 41, 32, torch.bfloat16, True),
    "grouped": (2, 6, 2, 19, 33, 24, torch.float16, True),
    "one key-value head": (1, 3, 1, 33, 20, 16, torch.float32, False),
    "head_dim 40": (1, 1, 1, 20, 40, 40, torch.float32, True),
    "head_dim 256": (1, 1, 1, 33, 17, 256, torch.bfloat16, False),
    "larger than a block": (1, 1, 1, 100, 70, 16, torch.float16, True),
}


def twin(q, k, v, causal, scale):
    """``(o, lse)`` by the whole matrix of scores."""
    queries, keys = q.shape[2], k.shape[2]
    k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for t in (k, v))
    scores = q @ k.mT * scale
    if causal:
        hidden = torch.arange(keys) > torch.arange(queries)[:, None] + keys - queries
        scores = scores.masked_fill(hidden, -math.inf)
    lse = scores.logsumexp(-1)
    return (scores - lse.masked_fill(lse == -math.inf, 0.0)[..., None]).exp() @ v, lse


def drawn(batch, heads, kv_heads, queries, keys, dim, dtype):
    """q, k, v and the gradients of o and lse."""
    generator = torch.Generator().manual_seed(queries * 1000 + keys)
    sizes = ((batch, heads, queries, dim), *[(batch, kv_heads, keys, dim)] * 2, (batch, heads, queries, dim))
    made = [torch.randn(size, generator=generator).to(dtype) for size in sizes]
    return *made, torch.randn((batch, heads, queries), generator=generator)


def both_passes(q, k, v, d_out, d_lse, causal, scale):
    q, k, v = (t.detach().requires_grad_() for t in (q, k, v))
    out, lse = flash.flash_attention_with_lse(q, k, v, causal, scale)
    return out.detach(), lse.detach(), *torch.autograd.grad((out, lse), (q, k, v), (d_out, d_lse))


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_equal_the_twins(name):
    *sizes, dtype, causal = CASES[name]
    q, k, v, d_out, d_lse = drawn(*sizes, dtype)
    report = examine(both_passes, q, k, v, d_out, d_lse, causal, None)
    report.raise_first()
    q, k, v = (t.float().requires_grad_() for t in (q, k, v))
    out, lse = twin(q, k, v, causal, sizes[-1]**-0.5)
    finite = lse.masked_fill(lse == -math.inf, 0.0)
    right = out, lse, *torch.autograd.grad((out, finite), (q, k, v), (d_out.float(), d_lse))
    for what, mine, good in zip(("o", "lse", "dq", "dk", "dv"), report.outputs, right, strict=True):
        if what == "lse":
            assert mine.dtype == torch.float32
            assert relative_error(mine, good.detach()) < (2e-3 if dtype == torch.float32 else 2e-6)
        else:
            assert mine.dtype == dtype
            bound = TOLERANCE[dtype] * (1 if what == "o" else 2)
            gap = (mine.float() - good.detach()).norm()
            assert gap <= bound * max(good.norm().item(), 1e-2), what
    if causal and sizes[3] > sizes[4]:  # the first queries see nothing
        blind = sizes[3] - sizes[4]
        assert (report.outputs[0][:, :, :blind] == 0).all()
        assert (report.outputs[1][:, :, :blind] == -math.inf).all()
        assert (report.outputs[2][:, :, :blind] == 0).all()


def test_strides_scale_and_a_gradient_of_the_output_alone():
    q, k, v = (torch.randn(2, rows, 3, 16, generator=torch.Generator().manual_seed(rows)).transpose(1, 2)
               for rows in (21, 35, 36))
    v = v[:, :, 1:]
    d_out = torch.randn(2, 3, 16, 21).mT  # its last axis is not contiguous

    def launched(q, k, v, d_out):
        q, k, v = (t.detach().requires_grad_() for t in (q, k, v))
        out = flash.flash_attention(q, k, v, causal=True, scale=0.1)
        return out.detach(), *torch.autograd.grad(out, (q, k, v), d_out)

    report = examine(launched, q, k, v, d_out)
    report.raise_first()
    q, k, v = (t.detach().requires_grad_() for t in (q, k, v))
    out, _ = twin(q, k, v, True, 0.1)
    for mine, good in zip(report.outputs, (out, *torch.autograd.grad(out, (q, k, v), d_out)), strict=True):
        assert relative_error(mine, good.detach()) < 1.6e-3


def test_large_scores_do_not_overflow():
    q, k, v, *_ = drawn(1, 1, 1, 20, 40, 16, torch.float16)
    q, k = q * 40, k * 40
    report = examine(flash.flash_attention_with_lse, q, k, v, True)
    report.raise_first()
    out, lse = twin(q.float(), k.float(), v.float(), True, 0.25)
    assert relative_error(report.outputs[0], out) < 2e-3
    assert relative_error(report.outputs[1], lse) < 1e-5


@pytest.mark.parametrize(("queries", "keys"), [(96, 96), (40, 100), (100, 40)])
def test_wholly_masked_tiles_are_not_multiplied(queries, keys):
    q, k, v, d_out, _ = drawn(1, 1, 1, queries, keys, 16, torch.float16)

    def launched(q, k, v, d_out):
        out, lse = flash.flash_forward(q, k, v, True, 0.25)
        return flash.flash_backward(q, k, v, out, lse, d_out, None, True, 0.25)

    report = examine(launched, q, k, v, d_out)
    report.raise_first()
    done = {launch.name: launch.counts.dot_flops for launch in report.launches}

    def seen_tiles(block_m, block_n):
        """How many tiles hold a pair that is seen."""
        return sum(min(m0 + block_m, queries) - 1 + keys - queries >= n0
                   for m0 in range(0, queries, block_m) for n0 in range(0, keys, block_n))

    product = 2 * 32 * 16 * 16  # FLOPs of one product of a tile of 32 by 16, head_dim 16
    assert done["flash_forward_kernel"] == 2 * product * seen_tiles(32, 16)
    assert done["flash_queries_kernel"] == 3 * product * seen_tiles(32, 16)
    assert done["flash_keys_kernel"] == 4 * product * seen_tiles(16, 32)


def test_each_block_of_queries_reads_the_keys_it_sees_once():
    q, k, v, *_ = drawn(1, 1, 1, 64, 64, 16, torch.float16)
    report = Examiner(trace=True)(flash.flash_forward, q, k, v, True, 0.25)
    report.raise_first()
    read = [access for access in report.trace if access.argument == "k_ptr"]
    assert sum(len(access.places) for access in read) == (2 + 4) * 16 * 16  # blocks of 32 queries, 16 keys


@pytest.mark.parametrize(("queries", "keys", "causal", "expected"), [
    (64, 64, True, [(0, 32), (32, 64)]), (64, 40, False, [(32, 40), (32, 40)]), (40, 72, True, [(32, 64), (64, 72)]),
    (72, 40, True, [(0, 0), (0, 32), (32, 40)]),
])
def test_only_tiles_on_the_edge_are_masked(queries, keys, causal, expected):
    """Keys before ``full`` are seen by the whole block and take the loop without a mask."""
    @triton.jit
    def ranges(out_ptr, queries, keys, CAUSAL: tl.constexpr):
        block = tl.program_id(0)
        full, end = flash.key_range(block * 32, queries, keys, 32, 16, CAUSAL)
        tl.store(out_ptr + 2 * block, full)
        tl.store(out_ptr + 2 * block + 1, end)

    def launched():
        out = torch.empty((triton.cdiv(queries, 32), 2), dtype=torch.int32)
        ranges[len(out),](out, queries, keys, CAUSAL=causal)
        return out

    assert [tuple(pair) for pair in strict(launched).tolist()] == expected


def test_keys_and_values_of_a_group_are_not_copied():
    q, k, v, *_ = drawn(1, 4, 1, 16, 16, 16, torch.float16)
    report = examine(flash.flash_attention, q, k, v)
    unique = report.launches[0].unique
    assert unique["k_ptr"]["read"] == k.numel() * 2
    assert unique["v_ptr"]["read"] == v.numel() * 2


def test_two_runs_give_the_same_bits():
    case = drawn(1, 2, 1, 40, 40, 16, torch.float16)
    first, second = (Examiner(seed=seed)(both_passes, *case, True, None) for seed in (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.outputs, second.outputs, strict=True))


def some(*shape, dtype=torch.float16):
    return torch.zeros(shape, dtype=dtype)


@pytest.mark.parametrize(("q", "k", "v", "told"), [
    (some(2, 3, 16), some(1, 2, 3, 16), some(1, 2, 3, 16), "must be"),
    (some(1, 2, 3, 16), some(1, 2, 3, 16), some(1, 2, 4, 16), "both"),
    (some(1, 2, 3, 16), some(2, 2, 3, 16), some(2, 2, 3, 16), "agree"),
    (some(1, 3, 3, 16), some(1, 2, 3, 16), some(1, 2, 3, 16), "2 key-value heads do not divide 3"),
    (some(1, 2, 3, 8), some(1, 2, 3, 8), some(1, 2, 3, 8), "16 to 256, not 8"),
    (some(1, 2, 3, 260), some(1, 2, 3, 260), some(1, 2, 3, 260), "not 260"),
    (some(1, 2, 3, 16), some(1, 2, 3, 16), some(1, 2, 3, 16, dtype=torch.float32), "one dtype"),
    (*[some(1, 2, 3, 16, dtype=torch.float64)] * 3, "float64"),
    (some(1, 2, 0, 16), some(1, 2, 3, 16), some(1, 2, 3, 16), "empty"),
])
def test_what_cannot_be_launched_is_told(q, k, v, told):
    with pytest.raises(ValueError, match=told):
        flash.flash_attention(q, k, v)


def test_a_scale_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        flash.flash_attention(*[some(1, 1, 2, 16)] * 3, scale=-1.0)


def test_every_gpu_has_a_configuration():
    for table in (flash.FORWARD, flash.KEYS, flash.QUERIES):
        for capability in (75, 80, 86, 89, 90, 100, 103, 120):
            for dtype in (torch.float16, torch.float32):
                for dim in (16, 64, 128, 256):
                    blocks = flash.configuration(table, dim, dtype, capability)[:2]
                    assert min(blocks) >= 16
    assert flash.configuration(flash.FORWARD, 128, torch.float16, 89) == flash.FORWARD[86][128]


@pytest.mark.xdist_group("flash_attention_compiled")
@pytest.mark.parametrize(("arch", "dim"), [(80, 128), (90, 128), (100, 64)])
def test_kernels_compile_without_spills_and_use_tensor_cores(arch, dim):
    q, k, v, d_out, _ = drawn(1, 2, 1, 128, 128, dim, torch.bfloat16)

    def launched(q, k, v, d_out):
        out, lse = flash.flash_forward(q, k, v, True, 0.25, arch)
        return flash.flash_backward(q, k, v, out, lse, d_out, None, True, 0.25, arch)

    report = examine(launched, q, k, v, d_out)
    report.raise_first()
    expected = {80: "mma", 90: "wgmma", 100: "tcgen05"}[arch]
    for launch in report.launches:
        made = compile_launch(launch, arch)
        assert made.failure is None, made.failure
        assert not made.spills, f"{launch.name}: {made.spill_bytes} bytes, {made.local_instructions} instructions"
        assert made.shared <= SHARED[arch]
        assert made.widest_load == 128
        if launch.name != "delta_kernel":
            assert made.tensor_cores == expected
            assert made.cp_async > 0
