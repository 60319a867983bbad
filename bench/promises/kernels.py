"""The kernels of kernels/: that they compile for each architecture without spills, and their speeds on a GPU."""

import importlib.util
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ladder.kernel_judge import gpu


def bench() -> Any:
    """bench/kernels.py, which measures."""
    path = Path(__file__).resolve().parent.parent / "kernels.py"
    spec = importlib.util.spec_from_file_location("bench_kernels", path)
    assert spec is not None and spec.loader is not None
    sys.modules["bench_kernels"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def promises(full: bool) -> Iterator[dict[str, Any]]:
    """A row on the machine code of each kernel, for sm_80 alone if not ``full``; a row a speed."""
    module, device = bench(), gpu.here()
    architectures = module.ARCHITECTURES if full else module.ARCHITECTURES[:1]
    targets = ", ".join(f"sm_{arch}" for arch in architectures)
    for name in module.KERNELS:
        start = time.perf_counter()
        rows = list(module.static(name, architectures))
        made = [made for row in rows for made in row["architectures"].values()]
        cores = sorted({one["tensor_cores"] for one in made} - {""})
        bad = sorted({f"{row['function']} on sm_{arch}" for row in rows for arch, one in row["architectures"].items()
                      if not module.made_well(one)})
        yield dict(
            day=f"kernels/{name}.py", promise=f"compiles for {targets} without spills", roadmap="no number",
            ours=("compiles" if not bad else "spills or does not compile: " + ", ".join(bad))
            + f", at most {max(one['registers'] for one in made)} registers"
            + (f", tensor cores: {', '.join(cores)}" if cores else ""),
            reached=not bad, seconds=round(time.perf_counter() - start, 1), fidelity="none",
            note="no GPU needed; launched as on each: " + ", ".join(dict.fromkeys(row["function"] for row in rows)),
        )
        timed = itertools.groupby(module.timed(name, device), key=lambda row: row["case"])
        for case, group in timed:
            found = list(group)
            known = [row["reached"] for row in found if row["reached"] is not None]
            yield dict(
                day=f"kernels/{name}.py",
                promise=f"{case}: at least " + ", ".join(f"{row['target']:.2f} of {row['against']}" for row in found),
                roadmap="no number",
                ours=", ".join(f"{row['ratio']:.2f} of {row['against']}" for row in found if row["ratio"])
                or "not checked on a GPU", reached=all(known) if known else None,
                seconds=0.0, fidelity="none",
                note=device.name if device else "speed as a ratio, both measured in one run of bench/kernels.py --gpu",
            )
