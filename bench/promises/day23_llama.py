"""Day 23's promises: logits of transformers, published parameter counts, and a real model's speed."""

import importlib.util
import time
from collections.abc import Iterator
from typing import Any

import torch
from ladder.solutions.stage2_architecture.day22_gqa_and_kv_cache import generate
from ladder.solutions.stage2_architecture.day23_llama import (
    Llama,
    count_params,
    load_reference,
    read_config,
)

from ladder.checkpoints import smollm2, smollm2_missing

DAY = "day23_llama"
TINY = dict(vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=3,
            num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5)
PUBLISHED = {
    "Llama 2 7B": (6_738_415_616, dict(
        vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
        num_attention_heads=32)),
    "Llama 3 8B": (8_030_261_248, dict(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8)),
    "TinyLlama 1.1B": (1_100_048_384, dict(
        vocab_size=32000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
        num_attention_heads=32, num_key_value_heads=4)),
    "SmolLM2-135M": (134_515_008, dict(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True)),
}


def promises(full: bool) -> Iterator[dict[str, Any]]:
    """Three rows; ``full=False`` leaves out the real model."""
    yield logits()
    yield counts()
    yield speed(full)


def row(promise: str, ours: str, reached: bool | None, seconds: float, fidelity: str, note: str = "",
        roadmap: str = "no number") -> dict[str, Any]:
    return dict(day=DAY, promise=promise, roadmap=roadmap, ours=ours, reached=reached,
                seconds=round(seconds, 2), fidelity=fidelity, note=note)


@torch.no_grad()
def logits() -> dict[str, Any]:
    promise = "logits equal those of transformers' LlamaForCausalLM, to 1e-4, random weights"
    if importlib.util.find_spec("transformers") is None:
        return row(promise, "not checked: no transformers", None, 0.0, "none")
    import transformers

    start, worst, size = time.perf_counter(), 0.0, 0.0
    for tied in (False, True):
        torch.manual_seed(0)
        theirs = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(**TINY, tie_word_embeddings=tied)).eval()
        for p in theirs.parameters():
            p.normal_(float(p.ndim == 1), 0.15)
        cfg = read_config(TINY | {"tie_word_embeddings": tied})
        ours = Llama(cfg)
        ours.load_state_dict(load_reference(theirs.state_dict(), cfg))
        idx = torch.randint(97, (4, 32))
        expected = theirs(idx).logits
        worst = max(worst, float((ours(idx) - expected).abs().max()))
        size = max(size, float(expected.std()))
    return row(promise, f"largest difference {worst:.1e}", worst < 1e-4, time.perf_counter() - start,
               "full", f"float32, 3 blocks, 6 heads on 2 kv heads, tied and not, logits of size "
                       f"{size:.2f}, transformers {transformers.__version__}")


def counts() -> dict[str, Any]:
    start = time.perf_counter()
    ours = {name: count_params(read_config(config)) for name, (_, config) in PUBLISHED.items()}
    right = all(ours[name] == number for name, (number, _) in PUBLISHED.items())
    return row("parameter counts of four published configurations, on the meta device",
               "; ".join(f"{name} {number:,}" for name, number in ours.items()), right,
               time.perf_counter() - start, "full")


def speed(full: bool) -> dict[str, Any]:
    promise = "SmolLM2-135M-Instruct writes 40 tokens greedily with the KV cache, and sense"
    if not full or smollm2_missing():
        return row(promise, "not run here", None, 0.0, "none",
                   "needs the extra smollm2 and --data full")
    checkpoint = smollm2()
    cfg = read_config(checkpoint.config)
    model = Llama(cfg).eval()
    model.load_state_dict(load_reference(checkpoint.tensors, cfg))
    question = "Explain in one sentence why the sky is blue."
    ids = checkpoint.tokenizer.encode(
        checkpoint.chat([{"role": "user", "content": question}])).ids
    generate(model, torch.tensor([ids]), 2)
    start = time.perf_counter()
    new = generate(model, torch.tensor([ids]), 40)[0, len(ids):].tolist()
    seconds = time.perf_counter() - start
    text = checkpoint.tokenizer.decode(new[: new.index(checkpoint.eos)] if checkpoint.eos in new else new)
    capital = checkpoint.tokenizer.encode("The capital of France is").ids
    after = checkpoint.tokenizer.decode(
        generate(model, torch.tensor([capital]), 1)[0, len(capital):].tolist())
    return row(promise, f"{40 / seconds:.1f} tokens per second", after == " Paris", seconds, "full",
               f"{torch.get_num_threads()} threads, float32 from Q4_1; after \"The capital of France "
               f"is\":{after}; asked \"{question}\": {text}")
