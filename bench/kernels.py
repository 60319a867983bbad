"""The kernels of kernels/: what they move and compile to, and on a GPU how fast they are beside others.

    python bench/kernels.py --static [NAME ...] [--arch 80 90 100] [--json]
    python bench/kernels.py --gpu [NAME ...] [--json]
    python bench/kernels.py                             both

``--static`` needs no GPU. For each kernel, launched as on each architecture at a small size: bytes moved and
bytes that must move, 32-byte sectors likewise, flops of tl.dot a byte that must move, from the strict interpreter;
registers, spills, tensor cores, the widest load, asynchronous copies and shared memory from the compiler.
About 5 s of CPU a kernel and architecture. Its exit code is 1 if a kernel spills or does not compile.

``--gpu`` times on the GPU at hand, all contenders of a row in turns in one run, on arrays of at least four times
the L2 cache where memory is the limit. A ratio above 1 is faster than that contender; "copy" is a device
copy of as many bytes as the kernel must move. Without a GPU each row says that it is not checked.

To add a kernel, write a function like :func:`softmax_` and list it in ``KERNELS``.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from ladder.kernel_judge import gpu
from ladder.kernel_judge.gate import compile_launch
from ladder.kernel_judge.gpu import Speed, Timing
from ladder.kernel_judge.interpreter import Launch
from ladder.kernel_judge.strict import examine

ARCHITECTURES = (80, 90, 100)
HALF = torch.float16
STREAMING = {"copy": 0.85, "torch": 1.0, "torch.compile": 1.0}  # of kernels that memory limits


@dataclass
class Kernel:
    """One module of kernels/: small cases for the static facts, and what to time.

    A small case is (label, launcher, arguments); ``speeds`` gives launchers and what to time, for a GPU with
    so many bytes of L2 cache.
    """

    small: list[tuple[str, Callable[..., Any], tuple]]
    speeds: Callable[[int], list[tuple[Callable[..., Any], Speed]]] = field(default=lambda l2: [])


def differentiated(call: Callable[..., Any], count: int) -> Callable[..., Any]:
    """A launcher of ``call`` and of the gradients of its first ``count`` arguments; the last one is the output's."""
    def launcher(*args: Any) -> Any:
        *given, dout = args
        leaves = [x.detach().requires_grad_() for x in given[:count]]
        return torch.autograd.grad(call(*leaves, *given[count:]), leaves, dout)

    return launcher


def randn(*shape: int, dtype: torch.dtype = HALF, generator: torch.Generator | None = None) -> torch.Tensor:
    device = "cpu" if generator is None else generator.device
    return torch.randn(shape, dtype=dtype, device=device, generator=generator)


def compiled(call: Callable[..., Any]) -> Callable[..., Any]:
    """``call`` by torch.compile, which is not imported before the first call."""
    made = functools.cache(lambda: torch.compile(call, dynamic=False))
    return lambda *args: made()(*args)


def beside(call: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    return {"torch": call, "torch.compile": compiled(call)}


def rows_for(l2: int, cols: int, size: int = 2) -> int:
    """Rows of ``cols`` numbers of ``size`` bytes that are at least four times the L2 cache."""
    return math.ceil(4 * l2 / (cols * size))


def vector_add_() -> Kernel:
    from ladder.kernels.vector_add import vector_add

    def speeds(l2: int) -> list:
        n = rows_for(l2, 1 << 20) << 20
        return [(vector_add, Speed(f"{n >> 20} Mi numbers", lambda g: (randn(n, generator=g), randn(n, generator=g)),
                                   beside(torch.add), targets=STREAMING))]

    return Kernel([("50000", vector_add, (randn(50_000), randn(50_000)))], speeds)


def softmax_() -> Kernel:
    from ladder.kernels.softmax import softmax

    def speeds(l2: int) -> list:
        rows = rows_for(l2, 4096)
        return [(softmax, Speed(f"{rows} x 4096", lambda g: (randn(rows, 4096, generator=g),),
                                beside(lambda x: x.softmax(-1)), targets=STREAMING))]

    both = differentiated(softmax, 1)
    return Kernel([("32 x 1024", both, (randn(32, 1024), randn(32, 1024))),
                   ("2 x 20000", both, (randn(2, 20_000), randn(2, 20_000)))], speeds)


def layernorm_() -> Kernel:
    from ladder.kernels.layernorm import layernorm

    def speeds(l2: int) -> list:
        rows = rows_for(l2, 4096)
        return [(layernorm, Speed(
            f"{rows} x 4096", lambda g: (randn(rows, 4096, generator=g), *(randn(4096, generator=g) for _ in range(2))),
            beside(lambda x, w, b: F.layer_norm(x, (4096,), w, b)), targets=STREAMING))]

    both = differentiated(layernorm, 3)
    return Kernel([(f"{rows} x {cols}", both, (randn(rows, cols), randn(cols), randn(cols), randn(rows, cols)))
                   for rows, cols in ((32, 1024), (2, 20_000))], speeds)


def rmsnorm_() -> Kernel:
    from ladder.kernels.rmsnorm import rmsnorm

    def speeds(l2: int) -> list:
        rows = rows_for(l2, 4096)
        return [(rmsnorm, Speed(f"{rows} x 4096", lambda g: (randn(rows, 4096, generator=g), randn(4096, generator=g)),
                                beside(lambda x, w: F.rms_norm(x, (4096,), w, 1e-6)), targets=STREAMING,
                                tolerance=1.2e-3))]

    both = differentiated(rmsnorm, 2)
    return Kernel([(f"{rows} x {cols}", both, (randn(rows, cols), randn(cols), randn(rows, cols)))
                   for rows, cols in ((32, 1024), (2, 20_000))], speeds)


def rope_() -> Kernel:
    from ladder.kernels.rope import rope

    def eager(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> tuple:
        def turn(x: torch.Tensor) -> torch.Tensor:
            even, odd = x[..., ::2].float(), x[..., 1::2].float()
            return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).to(x.dtype)

        return turn(q), turn(k)

    def arguments(seqs: int, tokens: int, generator: torch.Generator | None = None) -> tuple:
        angle = randn(tokens, 64, dtype=torch.float32, generator=generator)
        return (randn(seqs, 32 if seqs > 1 else 4, tokens, 128, generator=generator),
                randn(seqs, 8 if seqs > 1 else 2, tokens, 128, generator=generator), angle.cos(), angle.sin())

    def speeds(l2: int) -> list:
        seqs = max(2, rows_for(l2, 32 * 4096 * 128))
        return [(rope, Speed(f"{seqs} x 32 and 8 heads x 4096 x 128", lambda g: arguments(seqs, 4096, g), beside(eager),
                             targets=STREAMING))]

    return Kernel([("4 and 2 heads x 64 x 128", rope, arguments(1, 64))], speeds)


def swiglu_() -> Kernel:
    from ladder.kernels.swiglu import swiglu

    def speeds(l2: int) -> list:
        rows = rows_for(l2, 14_336)
        return [(swiglu, Speed(f"{rows} x 14336", lambda g: tuple(randn(rows, 14_336, generator=g) for _ in range(2)),
                               beside(lambda gate, up: F.silu(gate) * up), targets=STREAMING, tolerance=1.2e-3))]

    return Kernel([("16 x 2048", differentiated(swiglu, 2), tuple(randn(16, 2048) for _ in range(3)))], speeds)


def cross_entropy_() -> Kernel:
    from ladder.kernels.cross_entropy import cross_entropy

    def eager(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits.float(), targets, reduction="none")

    def arguments(rows: int, cols: int, generator: torch.Generator | None = None) -> tuple:
        device = "cpu" if generator is None else generator.device
        return (randn(rows, cols, generator=generator),
                torch.randint(cols, (rows,), generator=generator, device=device))

    def speeds(l2: int) -> list:
        rows, cols = rows_for(l2, 128_256), 128_256
        targets = {"copy": 0.75, "torch": 1.0, "torch.compile": 1.0}
        size = 2 * rows * cols
        return [
            (cross_entropy, Speed(f"{rows} x {cols}", lambda g: arguments(rows, cols, g), beside(eager),
                                  moved=size, targets=targets)),
            (differentiated(cross_entropy, 1), Speed(
                f"{rows} x {cols}, with the gradient",
                lambda g: (*arguments(rows, cols, g), randn(rows, dtype=torch.float32, generator=g)),
                {name: differentiated(call, 1) for name, call in beside(eager).items()}, moved=3 * size,
                targets=targets))]

    return Kernel([("8 x 10000", differentiated(cross_entropy, 1),
                    (*arguments(8, 10_000), randn(8, dtype=torch.float32)))], speeds)


def matmul_() -> Kernel:
    from ladder.kernels.matmul import matmul

    def row(label: str, dtype: torch.dtype, transposed: bool, target: float) -> tuple:
        def make(g: torch.Generator) -> tuple:
            a, b = (randn(4096, 4096, dtype=dtype, generator=g) for _ in range(2))
            return a, b.T if transposed else b

        def cublas(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            torch.backends.cuda.matmul.allow_tf32 = True
            return a @ b

        return matmul, Speed(label, make, {"cuBLAS": cublas}, flops=2 * 4096**3, targets={"cuBLAS": target},
                             tolerance=1e-3 if dtype == torch.float32 else None)

    def speeds(l2: int) -> list:
        return [row("4096^3 float16", HALF, False, 0.9), row("4096^3 bfloat16, b transposed", torch.bfloat16, True, 0.9),
                row("4096^3 float32 as TF32, b transposed", torch.float32, True, 0.9)]

    return Kernel([("128 x 64 x 512", matmul, (randn(128, 64), randn(64, 512))),
                   ("128 x 64 x 512 float32", matmul, (randn(128, 64, dtype=torch.float32),
                                                       randn(64, 512, dtype=torch.float32)))], speeds)


def quantised_matmul_() -> Kernel:
    from ladder.kernels.quantised_matmul import int4_matmul, int8_matmul

    def integers(high: int, *shape: int, low: int = 0, dtype: torch.dtype = torch.uint8,
                 generator: torch.Generator | None = None) -> torch.Tensor:
        device = "cpu" if generator is None else generator.device
        return torch.randint(low, high, shape, dtype=dtype, device=device, generator=generator)

    def int8(M: int, N: int, K: int, generator: torch.Generator | None = None) -> tuple:
        return (randn(M, K, generator=generator),
                integers(128, N, K, low=-128, dtype=torch.int8, generator=generator), randn(N, generator=generator).abs() / 64)

    def int4(M: int, N: int, K: int, generator: torch.Generator | None = None) -> tuple:
        return (randn(M, K, generator=generator), integers(256, N, K // 2, generator=generator),
                randn(K // 128, N, generator=generator).abs() / 8, integers(16, K // 128, N, generator=generator), 128)

    def eager8(x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        return F.linear(x, weight.to(x.dtype)) * scales

    def eager4(x: torch.Tensor, packed: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor, size: int) -> Any:
        whole = torch.stack([packed & 15, packed >> 4], -1).flatten(1).to(x.dtype)
        shift, scale = (t.to(x.dtype).T.repeat_interleave(size, 1) for t in (zeros, scales))
        return F.linear(x, (whole - shift) * scale)

    def speeds(l2: int) -> list:
        K, targets = 8192, {"copy": 0.75, "torch": 1.0, "torch.compile": 1.0}
        found = []
        for M in (1, 16):
            N = 256 * math.ceil(4 * l2 / K / 256)
            found.append((int8_matmul, Speed(f"int8, {M} x {K} x {N}", lambda g, M=M, N=N: int8(M, N, K, g),
                                             beside(eager8), targets=targets, tolerance=2e-3)))
            found.append((int4_matmul, Speed(f"int4, {M} x {K} x {2 * N}", lambda g, M=M, N=N: int4(M, 2 * N, K, g),
                                             beside(eager4), targets=targets, tolerance=2e-3)))
        return found

    return Kernel([("int8, 16 x 256 x 128", int8_matmul, int8(16, 128, 256)),
                   ("int4, 16 x 256 x 128", int4_matmul, int4(16, 128, 256)),
                   ("int8, 64 x 256 x 128, gradient", differentiated(int8_matmul, 1), (*int8(64, 128, 256), randn(64, 128))),
                   ("int4, 64 x 256 x 128, gradient", differentiated(int4_matmul, 1), (*int4(64, 128, 256), randn(64, 128)))],
                  speeds)


def flash_attention_() -> Kernel:
    from ladder.kernels.flash_attention import flash_attention

    def ours(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return flash_attention(q, k, v, causal=True)

    def sdpa(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def fa3(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        attend = importlib.import_module("flash_attn_interface").flash_attn_func
        found = attend(*(t.transpose(1, 2) for t in (q, k, v)), causal=True)
        return (found[0] if isinstance(found, tuple) else found).transpose(1, 2)

    others = {"SDPA": sdpa}
    if importlib.util.find_spec("flash_attn_interface"):  # FlashAttention-3, built from its source
        others["FA3"] = fa3

    def arguments(generator: torch.Generator) -> tuple:
        return tuple(randn(2, 16, 8192, 128, dtype=torch.bfloat16, generator=generator) for _ in range(3))

    def with_graphs(generator: torch.Generator) -> tuple:
        """Both forward passes, done before the time is taken: what is timed is the gradient alone."""
        leaves = [x.requires_grad_() for x in arguments(generator)]
        outs = [call(*leaves) for call in (ours, sdpa)]
        return *leaves, *outs, randn(2, 16, 8192, 128, dtype=torch.bfloat16, generator=generator)

    def gradient(which: int) -> Callable[..., Any]:
        return lambda q, k, v, mine, theirs, dout: torch.autograd.grad((mine, theirs)[which], (q, k, v), dout)

    def speeds(l2: int) -> list:
        flops = 2 * 16 * 2 * 8192**2 * 128  # causal: half of 4 N^2 d a head
        size = 2 * 2 * 16 * 8192 * 128
        return [(ours, Speed("causal, 2 x 16 x 8192 x 128", arguments, others, flops=flops,
                             targets={"SDPA": 0.95, "FA3": 0.76}, tolerance=1e-2)),
                (gradient(0), Speed("gradient, causal, 2 x 16 x 8192 x 128", with_graphs, {"SDPA": gradient(1)},
                                    moved=8 * size, flops=2.5 * flops, targets={"SDPA": 0.80}, tolerance=2e-2,
                                    expected=lambda q, k, v, mine, theirs, dout: differentiated(sdpa, 3)(q, k, v, dout)))]

    given = (randn(1, 2, 128, 128), randn(1, 1, 128, 128), randn(1, 1, 128, 128))
    return Kernel([("causal, 2 on 1 heads x 128 x 128", differentiated(ours, 3), (*given, randn(1, 2, 128, 128)))], speeds)


def paged_decode_() -> Kernel:
    from ladder.kernels.paged_decode import paged_decode

    def arguments(seqs: int, heads: int, kv_heads: int, tokens: int, generator: torch.Generator | None = None) -> tuple:
        device = "cpu" if generator is None else generator.device
        blocks = seqs * tokens // 16
        order = torch.randperm(blocks, generator=generator, device=device).view(seqs, -1)
        pools = (randn(blocks, 16, kv_heads, 128, generator=generator) for _ in range(2))
        return (randn(seqs, heads, 128, generator=generator), *pools, order,
                torch.full((seqs,), tokens, device=device), max(1, 256 // (seqs * kv_heads)))

    def gathered(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, tables: torch.Tensor, lengths: torch.Tensor,
                 splits: int) -> torch.Tensor:
        whole = (pool[tables].flatten(1, 2).transpose(1, 2) for pool in (k, v))
        return F.scaled_dot_product_attention(q[:, :, None], *whole, enable_gqa=True)[:, :, 0]

    def speeds(l2: int) -> list:
        found = []
        for seqs in (64, 4):
            tokens = max(2048, 16 * math.ceil(4 * l2 / (2 * 2 * seqs * 8 * 128 * 16)))
            found.append((paged_decode, Speed(
                f"{seqs} sequences of {tokens}, 32 on 8 heads", lambda g, s=seqs, t=tokens: arguments(s, 32, 8, t, g),
                {"torch": gathered}, targets={"copy": 0.75, "torch": 1.0}, tolerance=2e-3)))
        return found

    return Kernel([("2 sequences of 64, 4 on 2 heads", paged_decode, arguments(2, 4, 2, 64)[:-1])], speeds)


KERNELS: dict[str, Callable[[], Kernel]] = {
    "vector_add": vector_add_, "softmax": softmax_, "layernorm": layernorm_, "rmsnorm": rmsnorm_, "rope": rope_,
    "swiglu": swiglu_, "cross_entropy": cross_entropy_, "matmul": matmul_, "flash_attention": flash_attention_,
    "paged_decode": paged_decode_, "quantised_matmul": quantised_matmul_,
}


@contextlib.contextmanager
def as_if(arch: int) -> Iterator[None]:
    """Launchers choose their blocks as on a GPU of this capability."""
    modules = [m for name, m in list(sys.modules.items()) if name.startswith("ladder.kernels.")]
    held = [(module, module.architecture) for module in modules if hasattr(module, "architecture")]
    try:
        for module, _ in held:
            module.architecture = lambda x: arch
        yield
    finally:
        for module, before in held:
            module.architecture = before


def static(name: str, architectures: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """A row for each function that the module's launchers launch at their small cases."""
    for label, launcher, args in KERNELS[name]().small:
        rows: dict[str, dict[str, Any]] = {}
        for arch in architectures:
            with as_if(arch):
                report = examine(launcher, *args)
            report.raise_first()
            launches: dict[str, Launch] = {}
            for launch in report.launches:
                launches.setdefault(launch.name, launch)
            for function, launch in launches.items():
                row = rows.setdefault(function, {"kernel": name, "function": function, "case": label,
                                                 **moved(launch), "architectures": {}})
                row["architectures"][str(arch)] = compile_launch(launch, arch).as_data()
        yield from rows.values()


def moved(launch: Launch) -> dict[str, Any]:
    """What one launch moved, and had to move."""
    counts, unique = launch.counts, launch.unique.values()
    ideal = sum(entry["read"] + entry["written"] for entry in unique)
    return {
        "bytes": counts.bytes_loaded + counts.bytes_stored, "ideal_bytes": ideal,
        "sectors": counts.sectors_loaded + counts.sectors_stored,
        "ideal_sectors": sum(entry["sectors_read"] + entry["sectors_written"] for entry in unique),
        "flops": counts.dot_flops, "flops_per_byte": counts.dot_flops / ideal if ideal else 0.0,
    }


def timed(name: str, device: gpu.Device | None) -> Iterator[dict[str, Any]]:
    """A row for each target of the module's speeds: ours, theirs, the ratio, whether it is reached."""
    for launcher, speed in KERNELS[name]().speeds(device.l2 if device else 50 << 20):
        timing = Timing(str(speed.label), gpu.NOT_CHECKED, gpu.NEEDS_GPU, targets=dict(speed.targets))
        if device is not None:
            timing = gpu.time_speed(device, launcher, speed)
        why = "; ".join(problem.told("en") for problem in timing.problems)
        for against, target in speed.targets.items():
            yield {
                "kernel": name, "case": timing.label, "against": against, "target": target,
                "ratio": timing.ratios.get(against), "reached": timing.reached[against], "state": timing.state,
                "seconds": timing.seconds or None, "theirs": timing.baselines.get(against), "bytes": timing.moved or None,
                "flops": speed.flops or None, "reason": why or (timing.reason.en if timing.reason else "" if against in timing.ratios
                                  else f"{against} is not installed"),
            }


def made_well(made: dict[str, Any]) -> bool:
    """Whether a kernel compiles and does not spill."""
    return not (made["failure"] or made["spill_bytes"] or made["local_instructions"])


def show_static(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Print rows as they come, and pass them on."""
    print(f"{'kernel':32}{'case':34}{'bytes':>10}{'ideal':>10}{'sectors':>9}{'ideal':>9}{'FLOPs/B':>9}")
    for row in rows:
        print(f"{row['function']:32}{row['case']:34}{row['bytes']:10,}{row['ideal_bytes']:10,}{row['sectors']:9,}"
              f"{row['ideal_sectors']:9,}{row['flops_per_byte']:9.1f}")
        for arch, made in row["architectures"].items():
            if made["failure"]:
                print(f"    sm_{arch:4} does not compile: {made['failure']['text']}")
                continue
            widest = max(map(int, made["load_bits"]), default=0)
            print(f"    sm_{arch:4}{made['registers']:4} registers, "
                  + ("no spills, " if made_well(made) else f"SPILLS {made['spill_bytes']} bytes "
                     f"and {made['local_instructions']} local loads and stores, ")
                  + f"tensor cores: {made['tensor_cores'] or 'none'}, loads {widest} bits, "
                  f"{made['cp_async']} cp.async, {made['tma']} TMA, {made['shared']:,} bytes shared", flush=True)
        yield row


def show_timed(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Print rows as they come, and pass them on."""
    print(f"{'kernel':18}{'case':42}{'against':14}{'target':>7}{'ours':>7}  reached")
    for row in rows:
        said = {True: "yes", False: "no", None: f"not checked: {row['reason']}" if row["state"] != "failed"
                else f"refused: {row['reason']}"}[row["reached"]]
        ratio = f"{row['ratio']:7.2f}" if row["ratio"] is not None else f"{'–':>7}"
        print(f"{row['kernel']:18}{row['case']:42}{row['against']:14}{row['target']:7.2f}{ratio}  {said}", flush=True)
        yield row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--static", action="store_true", help="facts that need no GPU")
    mode.add_argument("--gpu", action="store_true", help="ratios measured on the GPU at hand")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(KERNELS)} (default: all)")
    parser.add_argument("--arch", type=int, nargs="+", default=list(ARCHITECTURES), metavar="CC")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(KERNELS)):
        parser.error(f"there is no kernel {', '.join(unknown)}; choose of {', '.join(KERNELS)}")
    names = args.names or list(KERNELS)
    torch.manual_seed(0)
    found: dict[str, Any] = {}
    code = 0
    if not args.gpu:
        rows = (row for name in names for row in static(name, tuple(args.arch)))
        found["static"] = list(rows if args.json else show_static(rows))
        code = int(not all(made_well(made) for row in found["static"] for made in row["architectures"].values()))
    if not args.static:
        device = gpu.here()
        found["machine"] = {"gpu": device.name if device else None, "torch": torch.__version__,
                            **(device.versions if device else {})}
        if not args.json:
            print(", ".join(f"{name} {value}" for name, value in found["machine"].items()))
        rows = (row for name in names for row in timed(name, device))
        found["gpu"] = list(rows if args.json else show_timed(rows))
    if args.json:
        print(json.dumps(found, indent=1))
    return code


if __name__ == "__main__":
    raise SystemExit(main())
