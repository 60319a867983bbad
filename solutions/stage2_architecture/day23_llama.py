"""Day 23: Llama, assembled from RMSNorm, SwiGLU, RoPE and grouped-query attention.

Follows Touvron et al., "LLaMA" (arXiv 2302.13971), section 2.2, "Llama 2" (arXiv 2307.09288), section
2.2, and Grattafiori et al., "The Llama 3 Herd of Models" (arXiv 2407.21783), section 3.2; names and
row order of published weights are those of transformers' ``LlamaForCausalLM``. Leaves out dropout
(Llama has none), Llama 3.1's scaling of RoPE for 128K tokens, and padding in a batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..stage1_foundation.day11_multi_head_attention import merge_heads, split_heads
from .day20_rmsnorm_and_swiglu import RMSNorm, SwiGLU
from .day21_rope import apply_rope, rope_tables
from .day22_gqa_and_kv_cache import KVCache, cached_mask, gqa


@dataclass
class LlamaConfig:
    """Sizes of a Llama: vocabulary, channels, blocks, query heads, kv heads, hidden units of the
    feed-forward network, longest context; RoPE's base, RMSNorm's eps, and whether the output head
    is the embedding (tied).
    """

    vocab: int
    d: int
    L: int
    h: int
    h_kv: int
    hidden: int
    max_len: int
    rope_base: float = 10000.0
    eps: float = 1e-5
    tied: bool = False


class LlamaBlock(nn.Module):
    """A pre-norm block: attention with RoPE and shared kv heads, then SwiGLU, each in a residual.

        a = x + Attention(RMSNorm(x)),      y = a + SwiGLU(RMSNorm(a)).

    ``LlamaBlock(cfg)`` has these members, and all of its parameters are theirs:

    - ``attn_norm`` and ``ffn_norm``: Day 20's ``RMSNorm``, with cfg.eps;
    - ``wq``, ``wk``, ``wv``, ``wo``: ``nn.Linear`` without biases. A head has n = d/h channels; wq
      makes h heads of a token, wk and wv h_kv heads each, one head after the other as in Day 11's
      ``split_heads``; wo takes the h heads side by side back to d channels;
    - ``ffn``: Day 20's ``SwiGLU`` with cfg.hidden units.
    """

    def __init__(self, cfg: LlamaConfig):
        """Make the block. Raises ValueError if h does not divide d, or h_kv does not divide h."""
        super().__init__()
        if cfg.d % cfg.h or cfg.h % cfg.h_kv:
            raise ValueError(f"{cfg.d} channels, {cfg.h} heads, {cfg.h_kv} kv heads")
        self.h, self.h_kv = cfg.h, cfg.h_kv
        kv = cfg.d // cfg.h * cfg.h_kv
        self.attn_norm = RMSNorm(cfg.d, cfg.eps)
        self.wq = nn.Linear(cfg.d, cfg.d, bias=False)
        self.wk = nn.Linear(cfg.d, kv, bias=False)
        self.wv = nn.Linear(cfg.d, kv, bias=False)
        self.wo = nn.Linear(cfg.d, cfg.d, bias=False)
        self.ffn_norm = RMSNorm(cfg.d, cfg.eps)
        self.ffn = SwiGLU(cfg.d, cfg.hidden)

    def forward(
        self,
        x: Float[Tensor, "B T d"],
        cos: Float[Tensor, "T pairs"],
        sin: Float[Tensor, "T pairs"],
        cache: KVCache | None = None,
    ) -> Float[Tensor, "B T d"]:
        """The block's output for T tokens, shape (B, T, d). ``x`` is left unchanged.

        ``cos`` and ``sin`` are the rows of Day 21's tables for the positions of these tokens: queries
        and keys are rotated by ``apply_rope``. Attention is causal, and that of Day 22's ``gqa``.

        With a ``cache`` (of this block), ``x`` holds the tokens that follow those in it: its
        ``update`` is called once, with the rotated keys and the values of the T tokens, and they
        attend to all that it returns, causally. Of a cache only ``update`` may be used.
        """
        u = self.attn_norm(x)
        q = split_heads(self.wq(u), self.h)
        k = split_heads(self.wk(u), self.h_kv)
        v = split_heads(self.wv(u), self.h_kv)
        q, k = apply_rope(q, k, cos, sin)
        if cache is not None:
            k, v = cache.update(k, v)
        mask = cached_mask(q.shape[2], k.shape[2]).to(x.device)
        a = x + self.wo(merge_heads(gqa(q, k, v, self.h_kv, mask)))
        return a + self.ffn(self.ffn_norm(a))


class Llama(nn.Module):
    """Llama: token numbers in, logits of the next token out.

    ``Llama(cfg)`` keeps ``cfg`` as ``model.cfg``. Its ``state_dict()`` holds the tensors of these
    members and nothing else:

    - ``embed``: ``nn.Embedding`` (vocab, d);
    - ``blocks``: ``nn.ModuleList`` of L ``LlamaBlock``;
    - ``norm``: ``RMSNorm`` after the last block, with cfg.eps;
    - ``head``: ``nn.Linear`` from d to vocab, without bias. If cfg.tied, its weight is the very
      parameter of ``embed``, so that ``model.parameters()`` has it once.
    """

    def __init__(self, cfg: LlamaConfig):
        """Make the model. The entries of all matrices, those of ``embed`` included, start as normal
        random numbers with mean 0 and standard deviation 0.02, by torch's global generator (as in
        transformers); the gains of RMSNorm start as 1.
        """
        super().__init__()
        self.cfg = cfg
        self.embed = nn.Embedding(cfg.vocab, cfg.d)
        self.blocks = nn.ModuleList([LlamaBlock(cfg) for _ in range(cfg.L)])
        self.norm = RMSNorm(cfg.d, cfg.eps)
        self.head = nn.Linear(cfg.d, cfg.vocab, bias=False)
        if cfg.tied:
            self.head.weight = self.embed.weight
        for p in self.parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=0.02)

    def forward(
        self, idx: Int[Tensor, "B T"], caches: list[KVCache] | None = None, start: int = 0
    ) -> Float[Tensor, "B T vocab"]:
        """The logits after each of the T tokens ``idx``, which stand at the positions start,
        start + 1, ..., start + T − 1.

            x = embed(idx),   x = block(x) for each block,   logits = head(norm(x)).

        RoPE has the rates of ``rope_tables`` with n = d/h channels and base cfg.rope_base. ``caches``
        is a list of L caches, one for each block, that hold the ``start`` tokens before; without it
        the T tokens see only each other. Raises ValueError if start + T exceeds cfg.max_len; then
        no cache has changed.
        """
        cfg, end = self.cfg, start + idx.shape[1]
        if end > cfg.max_len:
            raise ValueError(f"position {end - 1} in a model for {cfg.max_len} tokens")
        tables = rope_tables(end, cfg.d // cfg.h, cfg.rope_base)
        cos, sin = (table[start:].to(idx.device) for table in tables)
        x = self.embed(idx)
        for i, block in enumerate(self.blocks):
            x = block(x, cos, sin, None if caches is None else caches[i])
        return self.head(self.norm(x))


def read_config(published: Mapping[str, Any]) -> LlamaConfig:
    """The ``LlamaConfig`` of a published config.json, given as a dict.

    Keys that are always there: "vocab_size", "hidden_size" (d), "num_hidden_layers" (L),
    "num_attention_heads" (h), "intermediate_size" (hidden). Keys that may be missing, and what they
    are then: "num_key_value_heads" (h; so it is if the value is None), "max_position_embeddings"
    (2048), "rope_theta" (10000.0), "rms_norm_eps" (1e-6), "tie_word_embeddings" (False): the
    defaults of transformers, not those of ``LlamaConfig``.

    Raises ValueError for a model that ``Llama`` cannot compute: where a key is there and
    "hidden_act" is not "silu", "attention_bias" or "mlp_bias" is True, "rope_scaling" is not None,
    or "head_dim" is neither None nor d/h. All other keys are ignored, and ``published`` is left
    unchanged.
    """
    get = published.get
    d, h = published["hidden_size"], published["num_attention_heads"]
    known = (
        get("hidden_act", "silu") == "silu"
        and not get("attention_bias", False)
        and not get("mlp_bias", False)
        and get("rope_scaling") is None
        and get("head_dim") in (None, d // h)
    )
    if not known:
        raise ValueError("this model needs more than Llama computes")
    h_kv = get("num_key_value_heads")
    return LlamaConfig(
        vocab=published["vocab_size"],
        d=d,
        L=published["num_hidden_layers"],
        h=h,
        h_kv=h if h_kv is None else h_kv,
        hidden=published["intermediate_size"],
        max_len=get("max_position_embeddings", 2048),
        rope_base=get("rope_theta", 10000.0),
        eps=get("rms_norm_eps", 1e-6),
        tied=get("tie_word_embeddings", False),
    )


def count_params(cfg: LlamaConfig) -> int:
    """How many parameters ``Llama(cfg)`` has, each counted once; an int.

    Llama 3 8B would take 32 GB in float32. So no such memory is taken: a model may be made on the
    meta device, whose tensors have a shape and no entries.
    """
    with torch.device("meta"):
        model = Llama(cfg)
    return sum(p.numel() for p in model.parameters())


def param_budget(cfg: LlamaConfig) -> dict[str, int]:
    """The same number from the sizes alone, by what the parameters are for, without a model.

    A dict of five ints: "embed" (the embedding), "attention" (wq, wk, wv, wo of all blocks), "ffn"
    (the feed-forward networks of all blocks), "norm" (all RMSNorms) and "head" (what the head adds:
    0 if it is tied).
    """
    kv = cfg.d // cfg.h * cfg.h_kv
    return {
        "embed": cfg.vocab * cfg.d,
        "attention": cfg.L * (2 * cfg.d * cfg.d + 2 * cfg.d * kv),
        "ffn": cfg.L * 3 * cfg.d * cfg.hidden,
        "norm": (2 * cfg.L + 1) * cfg.d,
        "head": 0 if cfg.tied else cfg.vocab * cfg.d,
    }


def pair_rows(W: Float[Tensor, "rows c"], heads: int) -> Float[Tensor, "rows c"]:
    """The rows of a published q or k projection in the order that our RoPE needs.

    ``W`` is the weight of an ``nn.Linear``: its rows make ``heads`` heads of n channels, one head
    after the other. transformers turns the channels i and i + n/2 of a head together
    (i = 0, ..., n/2 − 1), Day 21's ``apply_rope`` the channels 2i and 2i + 1, both by the angle
    position · θ_i. Within each head, row i of ``W`` becomes row 2i and row i + n/2 becomes row
    2i + 1. Shape and dtype are those of ``W``, which is left unchanged; n is even.
    """
    return W.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def load_reference(state_dict: Mapping[str, Tensor], cfg: LlamaConfig) -> dict[str, Tensor]:
    """A state dict of transformers' ``LlamaForCausalLM`` as one for ``Llama(cfg)``.

    transformers' name (of a weight, with ".weight" behind it)       ours

        model.embed_tokens                                           embed
        model.layers.I.input_layernorm                               blocks.I.attn_norm
        model.layers.I.self_attn.q_proj, k_proj, v_proj, o_proj      blocks.I.wq, wk, wv, wo
        model.layers.I.post_attention_layernorm                      blocks.I.ffn_norm
        model.layers.I.mlp.gate_proj, up_proj, down_proj             blocks.I.ffn.w1, w3, w2
        model.norm                                                   norm
        lm_head                                                      head

    with I = 0, ..., L − 1. Rows of q and k are put in the order of ``pair_rows``; everything else
    stays as it is. The result has exactly the names of ``Llama(cfg).state_dict()``, so that its
    load_state_dict takes it, and the model's logits are then those of transformers. The tensors keep
    their dtype, and may be views of those given, which are left unchanged.

    If cfg.tied, "head.weight" is the embedding, and "lm_head.weight" may be missing (whatever is
    there is not used). Names that end in "rotary_emb.inv_freq", from old checkpoints, are ignored.
    Raises ValueError if a weight is missing (such as "lm_head.weight" if not cfg.tied) or if any other
    name is there (a bias, a block too many): a model that ignores a weight computes something else.
    """
    names = {"model.embed_tokens": "embed", "model.norm": "norm", "lm_head": "head"}
    parts = {
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "wq", "self_attn.k_proj": "wk",
        "self_attn.v_proj": "wv", "self_attn.o_proj": "wo",
        "mlp.gate_proj": "ffn.w1", "mlp.up_proj": "ffn.w3", "mlp.down_proj": "ffn.w2",
    }
    for i in range(cfg.L):
        names |= {f"model.layers.{i}.{theirs}": f"blocks.{i}.{ours}"
                  for theirs, ours in parts.items()}
    given = {name.removesuffix(".weight"): tensor for name, tensor in state_dict.items()
             if not name.endswith("rotary_emb.inv_freq")}
    if cfg.tied and "model.embed_tokens" in given:
        given["lm_head"] = given["model.embed_tokens"]
    if given.keys() != names.keys():
        raise ValueError(f"missing: {sorted(names.keys() - given.keys())}, "
                         f"too many: {sorted(given.keys() - names.keys())}")
    heads = {"q_proj": cfg.h, "k_proj": cfg.h_kv}
    ours = {}
    for theirs, tensor in given.items():
        kind = theirs.rpartition(".")[2]
        ours[f"{names[theirs]}.weight"] = (
            pair_rows(tensor, heads[kind]) if kind in heads else tensor)
    return ours


def llama_quiz() -> dict[str, str]:
    """Your answers to the six questions above, one letter each.

    Returns a dict with the keys "q1" to "q6"; each value is "a", "b", "c" or "d".
    """
    return {"q1": "c", "q2": "b", "q3": "d", "q4": "a", "q5": "c", "q6": "b"}
