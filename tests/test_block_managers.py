"""Day 41's capstone: any correct block manager passes its checks, and serving changes no token."""

import importlib.util
from pathlib import Path

import pytest
import torch
from ladder.solutions.stage2_architecture.day22_gqa_and_kv_cache import generate
from ladder.solutions.stage2_architecture.day23_llama import Llama, LlamaConfig
from ladder.solutions.stage3_full_stack import day41_block_manager as reference

from ladder import content, wire
from ladder.checks import Check
from ladder.judge import judge
from ladder.observe import observe
from ladder.verify import curriculum_with_drafts

STAGE, DAY = "stage3_full_stack", "day41_block_manager"
CLASSES = {"BlockAllocator", "BlockManager", "KVCacheManager"}


def design(name):
    """A module of ``tests/independent`` with its own block managers."""
    path = Path(__file__).parent / "independent" / STAGE / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"design_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DESIGNS = {"arrays": design(DAY), "owners_and_trie": design("day41_owners_and_trie")}
MANAGER_CHECKS = {
    name: check for name, check in content.checks_of(STAGE, DAY).items()
    if set(check.needs) <= CLASSES
}


def test_every_class_is_checked():
    assert {name for check in MANAGER_CHECKS.values() for name in check.needs} == CLASSES


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("check", MANAGER_CHECKS.values(), ids=MANAGER_CHECKS)
def test_replaced_by_another_correct_block_manager(check: Check, name):
    for seed in range(100, 108):
        objects = [getattr(DESIGNS[name], needed) for needed in check.needs]
        verdict = judge(check, observe(check, objects, seed, hidden=True), seed, hidden=True)
        assert verdict.passed, [
            (row.label.en, row.difference.en) for row in verdict.rows if not row.right]


@pytest.mark.parametrize("name", ["allocate", "fork_free", "append", "swap"])
def test_a_check_uses_no_method_of_a_later_exercise(name):
    """In the notebook the class grows: only what has been asked for so far is there."""
    day = curriculum_with_drafts().day(DAY)
    wanted = [exercise.id for exercise in day.exercises]
    there = {method.split(".")[1] for exercise in day.exercises[: wanted.index(name) + 1]
             for method in exercise.names if method.startswith("BlockManager.")}
    grown = type("BlockManager", (), {
        method: vars(reference.BlockManager)[method] for method in there})
    (check,) = [MANAGER_CHECKS[c] for c in day.exercises[wanted.index(name)].checks]
    for seed in range(3):
        assert judge(check, observe(check, [grown], seed), seed).passed


def numbers(value):
    if isinstance(value, wire.Array):
        value = value.values.ravel().tolist()
    return [n for part in value for n in numbers(part)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("check", MANAGER_CHECKS.values(), ids=MANAGER_CHECKS)
def test_the_reference_keeps_the_invariants(check: Check):
    """The traces compare with the reference, so its own books must balance."""
    for seed in range(100, 120):
        for seen in observe(check, content.reference_objects(check), seed).observations:
            words, value = seen.label.en, wire.decode(seen.value) if seen.value is not None else None
            if "an error on the way" in words:
                assert value == ""
            if any(part in words for part in (
                ": wrong reference counts", ": sequences that do not read", "blocks in use after")):
                assert value is not None and not any(numbers(value)), (words, seed)


@pytest.fixture(scope="module")
def served():
    """A tiny Llama with random weights, requests with a common beginning, and what it answers."""
    torch.manual_seed(0)
    model = Llama(LlamaConfig(vocab=61, d=16, L=2, h=4, h_kv=2, hidden=24, max_len=48)).double()
    for p in model.parameters():
        if p.ndim == 2:
            torch.nn.init.normal_(p, std=0.4)
    draw = torch.Generator().manual_seed(1)

    def some(low, high):
        return torch.randint(61, (int(torch.randint(low, high, (), generator=draw)),),
                             generator=draw).tolist()

    system = some(7, 8)
    requests = [(system + some(1, 9), len(some(2, 24))) for _ in range(10)]
    wanted = [generate(model, torch.tensor([prompt]), n)[0, len(prompt):].tolist()
              for prompt, n in requests]
    assert len({token for answer in wanted for token in answer}) > 20
    return model, requests, wanted


@pytest.mark.parametrize("module", [reference, *DESIGNS.values()], ids=["reference", *DESIGNS])
@pytest.mark.parametrize("way", ["contiguous", "recompute", "swap", "little swap", "prefix"])
def test_serving_changes_no_token(served, module, way):
    model, requests, wanted = served
    manager, size = {
        "contiguous": lambda: (module.BlockManager(48, 2, 0, 0.0), 48),
        "recompute": lambda: (module.BlockManager(3, 32, 0, 0.05), 3),
        "swap": lambda: (module.BlockManager(3, 32, 90, 0.05), 3),
        "little swap": lambda: (module.BlockManager(3, 32, 9, 0.0), 3),
        "prefix": lambda: (module.KVCacheManager(3, 32), 3),
    }[way]()
    blocks = manager.num_free()
    answers, history = reference.serve(model, requests, manager, size, swap="swap" in way)
    assert answers == wanted
    assert manager.num_free() == blocks
    assert max(step["running"] for step in history) > (1 if way == "contiguous" else 4)
    assert (sum(step["preempted"] for step in history) > 0) == (way != "contiguous")
    assert all(step["filled"] <= step["reserved"] <= blocks * size for step in history)


def test_too_long_a_request_is_refused(served):
    model, requests, _ = served
    with pytest.raises(ValueError, match="cannot be served"):
        reference.serve(model, requests, reference.BlockManager(4, 3, 0, 0.0), 4)
