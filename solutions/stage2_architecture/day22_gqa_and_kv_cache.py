"""Day 22: attention with shared key and value heads, and the cache that decoding reads.

Follows Shazeer, "Fast Transformer Decoding: One Write-Head is All You Need" (arXiv 1911.02150), and
Ainslie et al., "GQA: Training Generalized Multi-Query Transformer Models from Multi-Head
Checkpoints" (arXiv 2305.13245), on top of Day 10's ``sdpa`` and Day 21's rotations. Leaves out the
uptraining of section 2.1 there, sliding windows, quantised caches, padding in a batch of prompts of
different lengths, and caches in blocks (Day 40).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..stage1_foundation.day10_scaled_dot_product_attention import sdpa
from ..stage1_foundation.day11_multi_head_attention import merge_heads, split_heads
from .day21_rope import apply_rope, rope_tables


def repeat_kv(x: Float[Tensor, "B Hkv T d"], n: int) -> Float[Tensor, "B Hkv_n T d"]:
    """Every key (or value) head n times in a row, so that there is one for each query head.

        result[b, i, t, j] = x[b, i // n, t, j],      i = 0, ..., Hkv·n − 1.

    The shape is (B, Hkv·n, T, d), the dtype that of ``x``, n >= 1. Any memory layout of ``x`` will
    do; ``x`` is left unchanged. For n = 1 the result equals ``x``.
    """
    return x.repeat_interleave(n, dim=1)


def gqa(
    q: Float[Tensor, "B Hq Tq d"],
    k: Float[Tensor, "B Hkv Tk d"],
    v: Float[Tensor, "B Hkv Tk d"],
    n_kv_heads: int,
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "B Hq Tq d"]:
    """Grouped-query attention, section 2.2 of arXiv 2305.13245.

    The Hq query heads form ``n_kv_heads`` groups of neighbours, all of the size g = Hq/n_kv_heads.
    Query head i uses the keys and values of head i // g:

        result[:, i] = softmax(q_i k_{i//g}ᵀ / √d) v_{i//g}.

    n_kv_heads = Hq is multi-head attention, n_kv_heads = 1 multi-query attention (arXiv 1911.02150).

    ``mask`` is a bool tensor that broadcasts to (B, Hq, Tq, Tk): True means that the query may
    attend to the key. ``None`` allows everything; a query that may attend to nothing gets zeros. The
    arguments are left unchanged.

    Raises ValueError if ``n_kv_heads`` does not divide Hq, or if ``k`` or ``v`` has not exactly
    ``n_kv_heads`` heads. No ready-made attention of torch; Day 10's ``sdpa`` may be used.
    """
    Hq = q.shape[1]
    if Hq % n_kv_heads or k.shape[1] != n_kv_heads or v.shape[1] != n_kv_heads:
        raise ValueError(
            f"{n_kv_heads} groups of {Hq} query heads, but {k.shape[1]} and {v.shape[1]} kv heads"
        )
    g = Hq // n_kv_heads
    return sdpa(q, repeat_kv(k, g), repeat_kv(v, g), mask)


def pool_kv_heads(W: Float[Tensor, "h_d c"], h: int, n_kv_heads: int) -> Float[Tensor, "hkv_d c"]:
    """A multi-head checkpoint's key (or value) projection for fewer heads: section 2.1, figure 1 of
    arXiv 2305.13245.

    ``W`` is the weight of an ``nn.Linear`` that computes ``x @ W.T``: its rows i·d to (i+1)·d − 1
    make head i, i = 0, ..., h − 1, so it has h·d rows. The result has n_kv_heads·d rows in the same
    order; its head j is the mean of those heads of ``W`` that the query heads of group j had, which
    is the grouping of ``gqa``. The dtype is that of ``W``, which is left unchanged.

    Raises ValueError if ``n_kv_heads`` does not divide ``h``.
    """
    if h % n_kv_heads:
        raise ValueError(f"{n_kv_heads} kv heads do not divide {h} heads")
    rows = W.reshape(n_kv_heads, h // n_kv_heads, -1, W.shape[1])        # (group, member, d, c)
    return rows.mean(dim=1).reshape(-1, W.shape[1])


def cached_mask(Tq: int, Tk: int) -> Bool[Tensor, "Tq Tk"]:
    """The causal mask of the last Tq of Tk tokens.

    Keys stand at the positions 0, ..., Tk − 1 and the queries at the last Tq of these: query i at
    position Tk − Tq + i. Entry [i, s] is True if s is not greater than the position of query i.

    A bool tensor of shape (Tq, Tk). cached_mask(T, T) is Day 11's ``causal_mask(T)``; for Tq = 1 all
    entries are True. Raises ValueError if Tq > Tk.
    """
    if Tq > Tk:
        raise ValueError(f"{Tq} queries, but only {Tk} keys")
    return torch.arange(Tk) <= torch.arange(Tk - Tq, Tk)[:, None]


class KVCache:
    """The keys and values of all tokens so far, of one attention layer, in memory taken once.

    ``KVCache(B, Hkv, max_len, d, dtype)`` has

    - ``k`` and ``v``: tensors of shape (B, Hkv, max_len, d) and the given dtype, made by the
      constructor; ``update`` writes into them and never replaces them;
    - ``length``: an int, how many tokens have been stored; 0 at first. They fill the places
      0, ..., length − 1 along the third axis; what lies behind these has no meaning.
    """

    def __init__(
        self, B: int, Hkv: int, max_len: int, d: int, dtype: torch.dtype = torch.float32
    ):
        """Make an empty cache for ``B`` sequences, ``Hkv`` heads of ``d`` channels and at most
        ``max_len`` tokens.
        """
        self.k = torch.zeros(B, Hkv, max_len, d, dtype=dtype)
        self.v = torch.zeros(B, Hkv, max_len, d, dtype=dtype)
        self.length = 0

    def update(
        self, k: Float[Tensor, "B Hkv T d"], v: Float[Tensor, "B Hkv T d"]
    ) -> tuple[Float[Tensor, "B Hkv length d"], Float[Tensor, "B Hkv length d"]]:
        """Store T more tokens behind those already there (T >= 1, another T in each call if you
        like); return ``(keys, values)`` of all tokens so far, the new ones included.

        Both results have the shape (B, Hkv, length, d), with ``length`` after the update, and the
        cache's dtype, to which ``k`` and ``v`` are converted. They may be views of the cache's memory
        or copies. What is stored does not change when the tensors ``k`` and ``v`` change later. The
        cache is for inference: the results require no gradient, even if ``k`` and ``v`` do.

        Raises ValueError if the T tokens do not fit in, or if ``k`` or ``v`` has not exactly the
        shape (B, Hkv, T, d). Then nothing has changed: neither ``length`` nor what is stored.
        """
        B, Hkv, max_len, d = self.k.shape
        end = self.length + k.shape[2]
        if k.shape != v.shape or (*k.shape[:2], k.shape[3]) != (B, Hkv, d):
            raise ValueError(f"{tuple(k.shape)} and {tuple(v.shape)} for {tuple(self.k.shape)}")
        if end > max_len:
            raise ValueError(f"{end} tokens in a cache of {max_len}")
        self.k[:, :, self.length : end] = k.detach()
        self.v[:, :, self.length : end] = v.detach()
        self.length = end
        return self.k[:, :, :end], self.v[:, :, :end]


class GQAttention(nn.Module):
    """Causal grouped-query attention with RoPE, as a layer: ``GQAttention(d, h, h_kv)``.

    ``wq`` (d to d channels), ``wk`` and ``wv`` (d to h_kv·d/h) and ``wo`` (d to d) are ``nn.Linear``
    without biases; ``h`` and ``h_kv`` are kept. Heads have d/h channels each and follow one another
    in the projections' outputs, as in Day 11's ``split_heads``.
    """

    def __init__(self, d: int, h: int, h_kv: int):
        """Make the layer for tokens of ``d`` channels, ``h`` query heads and ``h_kv`` kv heads."""
        super().__init__()
        self.h, self.h_kv = h, h_kv
        self.wq = nn.Linear(d, d, bias=False)
        self.wk = nn.Linear(d, d // h * h_kv, bias=False)
        self.wv = nn.Linear(d, d // h * h_kv, bias=False)
        self.wo = nn.Linear(d, d, bias=False)

    def forward(
        self,
        x: Float[Tensor, "B T d"],
        cos: Float[Tensor, "T half"],
        sin: Float[Tensor, "T half"],
        cache: KVCache | None = None,
    ) -> Float[Tensor, "B T d"]:
        """The outputs of the T tokens ``x``, shape (B, T, d).

        ``cos`` and ``sin`` are the rows of Day 21's tables for the positions of these T tokens;
        queries and keys are rotated by Day 21's ``apply_rope``, values are not.

        Without a cache, ``x`` is the whole sequence. With a cache, ``x`` holds the T tokens that
        follow those in the cache: their rotated keys and their values are stored there, and they
        attend to all stored tokens and to one another. Either way attention is causal: a token sees
        itself and every token before it. So a sequence may come in any number of pieces, one call
        each, and the outputs are those of a single call without a cache.
        """
        q = split_heads(self.wq(x), self.h)
        k = split_heads(self.wk(x), self.h_kv)
        v = split_heads(self.wv(x), self.h_kv)
        q, k = apply_rope(q, k, cos, sin)
        if cache is not None:
            k, v = cache.update(k, v)
        mask = cached_mask(q.shape[2], k.shape[2]).to(x.device)
        return self.wo(merge_heads(gqa(q, k, v, self.h_kv, mask)))


@dataclass
class TinyConfig:
    """Sizes: vocabulary, channels, blocks, query heads, kv heads, longest context."""

    vocab: int
    d: int
    L: int
    h: int
    h_kv: int
    max_len: int


class TinyLM(nn.Module):
    """A causal language model to try the cache on: pre-norm blocks of ``GQAttention`` and an FFN."""

    def __init__(self, cfg: TinyConfig):
        super().__init__()
        self.cfg, d = cfg, cfg.d
        self.embed = nn.Embedding(cfg.vocab, d)
        self.attn = nn.ModuleList([GQAttention(d, cfg.h, cfg.h_kv) for _ in range(cfg.L)])
        self.ffn = nn.ModuleList([
            nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
            for _ in range(cfg.L)
        ])
        self.norm = nn.ModuleList([nn.LayerNorm(d) for _ in range(cfg.L + 1)])
        self.head = nn.Linear(d, cfg.vocab, bias=False)
        self.cos, self.sin = rope_tables(cfg.max_len, d // cfg.h)

    def forward(
        self, idx: Int[Tensor, "B T"], caches: list[KVCache] | None = None, start: int = 0
    ) -> Float[Tensor, "B T vocab"]:
        """Logits after each of the T tokens, which stand at the positions start, start + 1, ...

        ``caches`` holds one ``KVCache`` for each block, with the ``start`` tokens before.
        """
        rows = slice(start, start + idx.shape[1])
        if rows.stop > self.cfg.max_len:
            raise ValueError(f"position {rows.stop - 1} in a model for {self.cfg.max_len}")
        cos, sin = self.cos[rows], self.sin[rows]
        x = self.embed(idx)
        for i, (attn, ffn) in enumerate(zip(self.attn, self.ffn, strict=True)):
            x = x + attn(self.norm[i](x), cos, sin, None if caches is None else caches[i])
            x = x + ffn(x)
        return self.head(self.norm[-1](x))


def make_caches(model: nn.Module, B: int, max_len: int) -> list[KVCache]:
    """Empty caches for ``B`` sequences of at most ``max_len`` tokens, one for each block.

    Sizes come from ``model.cfg`` (L, h_kv, d, h), the dtype from the model's parameters.
    """
    cfg, dtype = model.cfg, next(model.parameters()).dtype
    return [KVCache(B, cfg.h_kv, max_len, cfg.d // cfg.h, dtype) for _ in range(cfg.L)]


def generate(
    model: nn.Module, idx: Int[Tensor, "B T"], n: int, cache: bool = True
) -> Int[Tensor, "B T_n"]:
    """``n`` more tokens for each of the ``B`` prompts, each time the likeliest one (greedy).

    ``model(idx, caches=None, start=0)`` gives logits (B, T, vocab) for T tokens at the positions
    start, ..., start + T − 1. Given ``caches`` from ``make_caches(model, B, max_len)``, it appends these
    T tokens to them and attends to everything in them.

    Returns an int64 tensor of shape (B, T + n): the prompt, then the new tokens; n >= 0. The next
    token is the one with the largest logit after the last token. The model is called n times, once
    for each new token:

    - ``cache=False``: each time on the whole sequence so far, without caches;
    - ``cache=True``: first on the whole prompt, then each time on the newest token alone, at its
      own position. The caches are made anew in each call of ``generate``, for at most T + n tokens.

    Both ways give the same tokens. No gradient is recorded (the model sees ``torch.no_grad()``);
    ``idx`` is left unchanged. T + n <= model.cfg.max_len, T >= 1.
    """
    B, T = idx.shape
    caches = make_caches(model, B, T + n) if cache else None
    new = idx
    with torch.no_grad():
        for _ in range(n):
            start = idx.shape[1] - new.shape[1] if cache else 0
            logits = model(new, caches=caches, start=start)
            token = logits[:, -1].argmax(dim=-1, keepdim=True)
            idx = torch.cat([idx, token], dim=1)
            new = token if cache else idx
    return idx


def kv_cache_bytes(
    L: int, Hkv: int, d: int, T: int, B: int, dtype: torch.dtype = torch.bfloat16
) -> int:
    """How many bytes the KV caches of a whole model take.

    ``L`` layers, ``Hkv`` key and value heads in each, ``d`` channels in a head, ``T`` tokens in each of
    ``B`` sequences, numbers of the torch dtype ``dtype``. An int, exact: the total size of ``k`` and
    ``v`` in L objects ``KVCache(B, Hkv, T, d, dtype)``. Nothing of that size is made.
    """
    return 2 * L * B * Hkv * T * d * dtype.itemsize
