"""The kernel judge on dishonest and broken kernels, refused for the right reason, and on honest ones, accepted."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="NOT CHECKED: triton is not installed; `make triton` (no GPU is needed)")
sys.path.insert(0, str(Path(__file__).parent))
import kernel_samples as samples
import kernel_samples_unusual as unusual

from ladder.kernel_judge.gate import compile_launch
from ladder.kernel_judge.interpreter import Limits
from ladder.kernel_judge.lint import lint
from ladder.kernel_judge.strict import Examiner
from ladder.kernel_judge.verdict import Case, judge_case

EXAMINER = Examiner(limits=Limits(steps=3000, seconds=20))


def right(launcher, inputs):
    kinds = {2: samples.times, 1: samples.plus}
    if len(inputs) == 1:
        return inputs[0].double().softmax(1)
    return kinds[inputs[0].ndim](*inputs)


@pytest.mark.parametrize("name", samples.CHEATS)
def test_refused_for_the_right_reason(name):
    launcher, times, make, reason = samples.CHEATS[name]
    samples.CACHE.clear()
    for _ in range(times):
        inputs = make()
        verdict = judge_case(launcher, Case(name, inputs, expected=right(launcher, inputs)), EXAMINER)
    if reason == "NotCompiled":
        made = compile_launch(verdict.report.launches[0], 80)
        assert made.failure is not None and "BLOCK_OF_ALL" in made.failure.text.en
        return
    assert reason in [problem.kind for problem in verdict.problems], [p.told("en") for p in verdict.problems]
    first = verdict.problems[0]
    assert first.told("en") and first.told("zh")


def test_what_an_interpreter_cannot_see_is_linted():
    found = {(finding.argument, finding.source) for finding in lint(Path(samples.__file__).read_text())}
    for expected in (("patch", "time.perf_counter = lambda: 0.0"),
                     ("stream", "with torch.cuda.stream(torch.cuda.Stream()):"),
                     ("cache", 'CACHE["out"] = launch_add(add_kernel, x, y)'),
                     ("library", "return torch.add(x, y)"), ("syntax", "try:  # noqa: SIM105"),
                     ("library", "made, out = torch.from_numpy(np.add(x.numpy(), y.numpy())), torch.empty_like(x)")):
        assert expected in found


HONEST = samples.HONEST | unusual.UNUSUAL


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("seed", [0, 1])
def test_accepted(name, seed):
    launcher, make, truth = HONEST[name]
    inputs = make()
    expected = truth(*inputs)
    verdict = judge_case(launcher, Case(name, inputs, expected=expected), Examiner(seed=seed))
    assert not verdict.problems, [p.told("en") for p in verdict.problems]


@pytest.mark.parametrize("name", ["ragged last block", "splits beyond the length", "pools that are views"])
def test_the_paged_decode_kernel_is_honest(name):
    import torch
    from ladder.kernels.paged_decode import paged_decode
    from ladder.solutions.stage3_full_stack.day40_paged_attention import paged_attention
    from test_kernels_paged_decode import CASES, paged

    lengths, block_size, heads, kv_heads, dim, splits = CASES[name]
    q, k, v, tables, sizes = paged(lengths, block_size, heads, kv_heads, dim, "views" in name)
    expected = torch.stack([paged_attention(q[b], k, v, tables[b], n) for b, n in enumerate(lengths)])
    verdict = judge_case(paged_decode, Case(name, (q, k, v, tables, sizes), {"splits": splits}, expected), Examiner(seed=1))
    assert not verdict.problems, [p.told("en") for p in verdict.problems]
    assert verdict.report.facts["launches"] == 2 and verdict.report.library_calls == []
