"""Day 23 a second time, by other formulas and other idioms: nothing here is taken from solutions/."""

import dataclasses
import math
import re

import torch
from torch import nn

LlamaConfig = dataclasses.make_dataclass("LlamaConfig", [
    ("vocab", int), ("d", int), ("L", int), ("h", int), ("h_kv", int), ("hidden", int),
    ("max_len", int), ("rope_base", float, 10000.0), ("eps", float, 1e-5), ("tied", bool, False)])


class _Norm(nn.Module):
    def __init__(self, d, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(d)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class _Gated(nn.Module):
    def __init__(self, d, hidden):
        super().__init__()
        self.w2 = nn.Linear(hidden, d, bias=False)
        self.w1, self.w3 = (nn.Linear(d, hidden, bias=False) for _ in range(2))

    def forward(self, x):
        gate = self.w1(x)
        return self.w2(gate / (1 + torch.exp(-gate)) * self.w3(x))


class LlamaBlock(nn.Module):
    """Complex rotation, one query head at a time, scores masked by position."""

    def __init__(self, cfg):
        super().__init__()
        n, left = divmod(cfg.d, cfg.h)
        self.group, ragged = divmod(cfg.h, cfg.h_kv)
        if left or ragged:
            raise ValueError("sizes")
        self.n = n
        self.ffn, self.ffn_norm = _Gated(cfg.d, cfg.hidden), _Norm(cfg.d, cfg.eps)
        self.attn_norm = _Norm(cfg.d, cfg.eps)
        for name, out in (("wo", cfg.h), ("wv", cfg.h_kv), ("wk", cfg.h_kv), ("wq", cfg.h)):
            setattr(self, name, nn.Linear(cfg.d, n * out, bias=False))

    def forward(self, x, cos, sin, cache=None):
        B, T, _ = x.shape
        u = self.attn_norm(x)
        turn = torch.complex(cos.to(x.dtype), sin.to(x.dtype))

        def turned(t):
            z = torch.view_as_complex(t.reshape(B, T, -1, self.n // 2, 2).transpose(1, 2).contiguous())
            return torch.view_as_real(z * turn).reshape(B, -1, T, self.n)

        q, k = turned(self.wq(u)), turned(self.wk(u))
        v = self.wv(u).view(B, T, -1, self.n).permute(0, 2, 1, 3)
        if cache is not None:
            k, v = cache.update(k, v)
        S = k.size(2)
        hidden = torch.arange(S)[None] > torch.arange(S - T, S)[:, None]
        heads = []
        for i in range(q.size(1)):
            j = i // self.group
            scores = torch.einsum("btn,bsn->bts", q[:, i], k[:, j]) / math.sqrt(self.n)
            scores = scores.masked_fill(hidden, -torch.inf)
            heads.append(scores.softmax(-1) @ v[:, j])
        x = x + self.wo(torch.cat(heads, -1))
        return self.ffn(self.ffn_norm(x)) + x


class Llama(nn.Module):
    """With tables of RoPE in buffers that are not saved, in float64 until they are used."""

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.embed = nn.Embedding(cfg.vocab, cfg.d)
        self.blocks = nn.ModuleList(LlamaBlock(cfg) for _ in range(cfg.L))
        self.norm = _Norm(cfg.d, cfg.eps)
        self.head = nn.Linear(cfg.d, cfg.vocab, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                module.weight.data = torch.randn_like(module.weight) / 50
        if cfg.tied:
            self.head.weight = self.embed.weight
        n = cfg.d // cfg.h
        rates = torch.exp(-math.log(cfg.rope_base) * torch.arange(n // 2, dtype=torch.float64) * 2 / n)
        angles = torch.outer(torch.arange(cfg.max_len, dtype=torch.float64), rates)
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    def forward(self, idx, caches=None, start=0):
        if start + idx.shape[-1] > self.cfg.max_len:
            raise ValueError("too long")
        rows = slice(start, start + idx.shape[-1])
        x = self.embed(idx)
        for block, cache in zip(self.blocks, caches or [None] * self.cfg.L, strict=True):
            x = block(x, self.cos[rows], self.sin[rows], cache=cache)
        return self.norm(x) @ self.head.weight.T


def read_config(published):
    p = {"num_key_value_heads": None, "max_position_embeddings": 2048, "rope_theta": 10000.0,
         "rms_norm_eps": 1e-6, "tie_word_embeddings": False, "hidden_act": "silu",
         "attention_bias": False, "mlp_bias": False, "rope_scaling": None, "head_dim": None,
         **published}
    if p["hidden_act"] != "silu":
        raise ValueError("activation")
    if p["attention_bias"] or p["mlp_bias"]:
        raise ValueError("bias")
    if p["rope_scaling"] is not None:
        raise ValueError("RoPE")
    if p["head_dim"] is not None and p["head_dim"] * p["num_attention_heads"] != p["hidden_size"]:
        raise ValueError("head size")
    return LlamaConfig(
        p["vocab_size"], p["hidden_size"], p["num_hidden_layers"], p["num_attention_heads"],
        p["num_key_value_heads"] or p["num_attention_heads"], p["intermediate_size"],
        p["max_position_embeddings"], float(p["rope_theta"]), p["rms_norm_eps"],
        p["tie_word_embeddings"])


def param_budget(cfg):
    n = cfg.d // cfg.h
    block = {"attention": cfg.d * n * (cfg.h + cfg.h_kv + cfg.h_kv + cfg.h),
             "ffn": cfg.d * cfg.hidden * 3, "norm": cfg.d * 2}
    budget = {part: cfg.L * count for part, count in block.items()}
    budget["norm"] += cfg.d
    return {"head": (not cfg.tied) * cfg.vocab * cfg.d, "embed": cfg.vocab * cfg.d, **budget}


def count_params(cfg):
    """Without any model."""
    return sum(param_budget(cfg).values())


def pair_rows(W, heads):
    n = W.shape[0] // heads
    order = [h * n + i + half for h in range(heads) for i in range(n // 2) for half in (0, n // 2)]
    return W[order]


OURS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "q_proj": "wq",
        "k_proj": "wk", "v_proj": "wv", "o_proj": "wo", "gate_proj": "ffn.w1", "up_proj": "ffn.w3",
        "down_proj": "ffn.w2", "embed_tokens": "embed", "norm": "norm", "lm_head": "head"}


def load_reference(state_dict, cfg):
    pattern = re.compile(r"(?:model\.)?(?:layers\.(\d+)\.)?(?:self_attn\.|mlp\.)?(\w+)\.weight")
    result = {}
    for name, tensor in state_dict.items():
        if name.endswith("inv_freq"):
            continue
        found = pattern.fullmatch(name)
        if not found or found[2] not in OURS:
            raise ValueError(name)
        layer, kind = found.groups()
        if kind in ("q_proj", "k_proj"):
            tensor = pair_rows(tensor, cfg.h if kind == "q_proj" else cfg.h_kv)
        result[f"blocks.{layer}.{OURS[kind]}.weight" if layer else f"{OURS[kind]}.weight"] = tensor
    if cfg.tied:
        result["head.weight"] = result.get("embed.weight")
    with torch.device("meta"):
        wanted = Llama(cfg).state_dict().keys()
    if set(result) != set(wanted) or any(t is None for t in result.values()):
        raise ValueError("names")
    return result


def llama_quiz():
    return dict(zip(("q1", "q2", "q3", "q4", "q5", "q6"), "CBDACB", strict=True))
