"""The Triton paged decode kernel: interpreted on the CPU against Day 40's reference, and compiled
ahead of time for sm_80 and sm_90. Neither needs a GPU; the kernel is not *run* on one here.

The interpreter is chosen when a kernel is defined, so the cases run in a process of their own: this
file as a script, with TRITON_INTERPRET=1.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

try:
    import triton
except ImportError:
    triton = None

CUOBJDUMP = triton and Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"

pytestmark = pytest.mark.skipif(
    triton is None,
    reason="NOT CHECKED: triton is not installed, so kernels/paged_decode.py was neither interpreted nor "
    "compiled; `pip install triton==3.9.0`, which works without a GPU",
)

# name: (lengths, block_size, Hq, Hkv, d, splits)
CASES = {
    "one token": ((1,), 16, 2, 2, 16, 1),
    "exactly one block": ((16,), 16, 2, 2, 16, 1),
    "ragged last block": ((17, 5, 33), 16, 2, 1, 32, 1),
    "odd block size and head": ((23, 7), 5, 3, 3, 24, 1),
    "grouped, three query heads": ((41, 12), 8, 6, 2, 20, 1),
    "many query heads, small tiles": ((37,), 16, 16, 1, 128, 1),
    "longer than a tile": ((200, 131), 16, 2, 1, 64, 1),
    "splits": ((200, 131), 16, 4, 2, 64, 3),
    "splits, odd block size": ((90, 131), 5, 2, 1, 64, 2),
    "splits beyond the length": ((3, 150), 8, 2, 1, 64, 5),
    "pools that are views": ((19, 30), 4, 4, 2, 16, 2),
}


def paged(lengths, block_size, heads, kv_heads, dim, views=False):
    """Random q, pools and tables: blocks in random order, NaN wherever no token is, -1 after a table's end."""
    generator = torch.Generator().manual_seed(sum(lengths) + block_size + dim)
    counts = [-(-n // block_size) for n in lengths]
    num_blocks = sum(counts) + 3
    order = torch.randperm(num_blocks, generator=generator)
    both = torch.full((num_blocks, block_size, 2, kv_heads, dim), torch.nan)
    k_pool, v_pool = both.unbind(2) if views else (both[:, :, i].contiguous() for i in (0, 1))
    tables = torch.full((len(lengths), max(counts) + 1), -1)
    taken = 0
    for b, (n, count) in enumerate(zip(lengths, counts, strict=True)):
        tables[b, :count] = order[taken:taken + count]
        taken += count
        position = torch.arange(n)
        at = tables[b, position // block_size], position % block_size
        k_pool[at] = torch.randn(n, kv_heads, dim, generator=generator) * 2
        v_pool[at] = torch.randn(n, kv_heads, dim, generator=generator)
    q = torch.randn(len(lengths), heads, dim, generator=generator)
    return q, k_pool, v_pool, tables, torch.tensor(lengths)


def errors() -> dict[str, float]:
    """The largest error of each case, NaN included, relative to the largest number expected."""
    from ladder.kernels.paged_decode import paged_decode
    from ladder.solutions.stage3_full_stack.day40_paged_attention import paged_attention

    found = {}
    for name, (lengths, block_size, heads, kv_heads, dim, splits) in CASES.items():
        q, k, v, tables, sizes = paged(lengths, block_size, heads, kv_heads, dim, "views" in name)
        expected = torch.stack([paged_attention(q[b], k, v, tables[b], n) for b, n in enumerate(lengths)])
        assert expected.isfinite().all()
        for table_dtype in (torch.int64, torch.int32):
            got = paged_decode(q, k, v, tables.to(table_dtype), sizes.to(table_dtype), splits=splits)
            error = ((got - expected).abs().max() / expected.abs().max()).item()
            found[name] = max(found.get(name, 0.0), error) if error == error else float("inf")
    return found


@pytest.fixture(scope="module")
def interpreted():
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True,
                             timeout=300)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.strip().split("\n")[-1])


@pytest.mark.xdist_group("paged_decode")
@pytest.mark.parametrize("name", CASES)
def test_interpreted_kernel_equals_the_reference(interpreted, name):
    assert interpreted[name] < 2e-6


@pytest.mark.xdist_group("paged_decode")
@pytest.mark.parametrize(("capability", "dtype", "splits"),
                         [(80, "fp32", 1), (80, "bf16", 4), (90, "bf16", 1), (90, "fp32", 4)])
def test_kernels_compile_ahead_of_time(capability, dtype, splits, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
    from ladder.kernels.paged_decode import merge_splits_kernel, paged_decode_kernel
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    pointers = {"table_ptr": "*i64", "length_ptr": "*i64", "partial_ptr": "*fp32", "lse_ptr": "*fp32",
                "scale": "fp32"}
    constants = {"GROUP": 4, "HEAD_DIM": 128, "BLOCK_SIZE": 16, "BLOCK_GROUP": 4, "BLOCK_DIM": 128,
                 "BLOCK_TOKENS": 16, "BLOCK_SPLITS": 4}
    if splits == 1:
        constants["splits"] = 1  # as a launch does: it makes an argument that is 1 a constant
    for kernel in (paged_decode_kernel, merge_splits_kernel):
        constexprs = {name: constants[name] for name in kernel.arg_names if name in constants}
        signature = {
            name: "constexpr" if name in constants else pointers.get(
                name, f"*{dtype}" if name.endswith("_ptr") else "i32")
            for name in kernel.arg_names
        }
        compiled = triton.compile(ASTSource(kernel, signature, constexprs),
                                  target=GPUTarget("cuda", capability, 32))
        assert f".target sm_{capability}" in compiled.asm["ptx"]
        assert compiled.asm["cubin"][:4] == b"\x7fELF"
        cubin = tmp_path / "kernel.cubin"
        cubin.write_bytes(compiled.asm["cubin"])
        sass = subprocess.run([CUOBJDUMP, "-sass", cubin], capture_output=True, text=True, check=True).stdout
        assert "EXIT" in sass
        assert not re.search(r"\b(STL|LDL)\b", sass), "registers spill to local memory"


if __name__ == "__main__":
    print(json.dumps(errors()))
