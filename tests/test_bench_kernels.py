"""bench/kernels.py: the table of static facts of one kernel, and what is said where there is no GPU."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="NOT CHECKED: triton is not installed; `make triton` (no GPU is needed)")

from ladder.kernel_judge import gpu

BENCH = Path(__file__).resolve().parent.parent / "bench" / "kernels.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_kernels", BENCH)
    sys.modules["bench_kernels"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments):
    return subprocess.run([sys.executable, BENCH, *arguments], capture_output=True, text=True, timeout=300,
                          env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""})


def test_static_facts_of_one_kernel():
    done = run("--static", "vector_add", "--arch", "80", "--json")
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["static"]
    assert row["function"] == "add_kernel" and row["bytes"] == row["ideal_bytes"] == 300_000
    assert row["sectors"] == row["ideal_sectors"] == 9375
    made = row["architectures"]["80"]
    assert made["failure"] is None and made["spill_bytes"] == 0 and "128" in made["load_bits"]


def test_without_a_gpu_each_row_says_so():
    done = run("--gpu", "matmul", "flash_attention")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith(("matmul", "flash"))]
    assert len(rows) == 6 and all(row.endswith("not checked: needs a GPU") for row in rows)


def test_a_kernel_that_is_not_there():
    done = run("--static", "vector_sub")
    assert done.returncode == 2 and "there is no kernel vector_sub; choose of vector_add" in done.stderr


def test_every_module_of_kernels_is_listed(bench):
    import ladder.kernels

    modules = {path.stem for path in Path(ladder.kernels.__path__[0]).glob("*.py")} - {"__init__", "rows"}
    assert modules <= set(bench.KERNELS)


def test_the_table_shows_facts_and_spills(bench, capsys):
    made = {"failure": None, "registers": 255, "spill_bytes": 8, "local_instructions": 2, "tensor_cores": "mma",
            "load_bits": {"128": 4}, "cp_async": 3, "tma": 0, "shared": 1024}
    row = {"function": "k", "case": "c", "bytes": 10, "ideal_bytes": 5, "sectors": 4, "ideal_sectors": 2,
           "flops_per_byte": 1.5, "architectures": {"80": made, "90": {"failure": {"text": "no"}}}}
    assert list(bench.show_static(iter([row]))) == [row]
    told = capsys.readouterr().out
    assert "SPILLS 8 bytes and 2 local loads and stores, tensor cores: mma, loads 128 bits, 3 cp.async" in told and "does not compile: no" in told
    assert not bench.made_well(made) and bench.made_well(made | {"spill_bytes": 0, "local_instructions": 0})


class Here:
    l2 = 1 << 20


@pytest.mark.parametrize(("ratios", "state", "told"), [
    ({"copy": 0.9, "torch": 1.2}, "passed", ["yes", "yes", "not checked: torch.compile is not installed"]),
    ({"copy": 0.5, "torch": 1.2, "torch.compile": 0.9}, "passed", ["no", "yes", "no"]),
    ({}, "failed", ["refused: it is wrong"] * 3)])
def test_ratios_beside_their_targets(bench, monkeypatch, capsys, ratios, state, told):
    from ladder.kernel_judge.findings import Finding
    from ladder.text import say

    problems = [Finding("Wrong", say("it is wrong", "错误"))] if state == "failed" else []
    monkeypatch.setattr(gpu, "time_speed", lambda device, launcher, speed: gpu.Timing(
        speed.label, state, seconds=1e-4, ratios=ratios, targets=speed.targets, problems=problems))
    rows = list(bench.show_timed(bench.timed("vector_add", Here())))
    assert [line.split("  ")[-1].strip() for line in capsys.readouterr().out.splitlines()[1:]] == told
    assert [row["against"] for row in rows] == ["copy", "torch", "torch.compile"]
    assert rows[0]["case"] == "2 Mi numbers"  # four times this cache
