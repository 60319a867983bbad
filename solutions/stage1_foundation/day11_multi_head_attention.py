"""Day 11: multi-head attention and its masks, in PyTorch.

Follows Vaswani et al., "Attention Is All You Need" (arXiv 1706.03762), sections 3.2.2 and 3.2.3, on
top of Day 10's ``sdpa``. Leaves out biases and dropout, attention from one sequence to another
(Day 51), and heads that share their keys and values.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .day10_scaled_dot_product_attention import sdpa


def split_heads(x: Float[Tensor, "B T d"], h: int) -> Float[Tensor, "B h T d_head"]:
    """Deal out the ``d`` channels of every token to ``h`` heads; d_head = d / h.

    Head i gets the channels i·d_head to (i+1)·d_head − 1 of each token, in order:

        result[b, i, t, j] = x[b, t, i·d_head + j].

    Any memory layout of ``x`` will do. Raises ValueError if ``h`` does not divide d.
    """
    B, T, d = x.shape
    if d % h:
        raise ValueError(f"{h} heads do not divide {d} channels")
    return x.reshape(B, T, h, d // h).transpose(1, 2)


def merge_heads(x: Float[Tensor, "B h T d_head"]) -> Float[Tensor, "B T d"]:
    """Put the heads of every token side by side again: the inverse of ``split_heads``.

        result[b, t, i·d_head + j] = x[b, i, t, j],      d = h·d_head.

    Any memory layout of ``x`` will do.
    """
    B, h, T, d_head = x.shape
    return x.transpose(1, 2).reshape(B, T, h * d_head)


def view_trap(
    T: int, d: int, h: int
) -> tuple[Int[Tensor, "h T d_head"], Int[Tensor, "h T d_head"]]:
    """Where the entries of the wrong split, ``x.view(B, h, T, d // h)``, come from.

    ``x`` has the shape (B, T, d) and is contiguous, and ``h`` divides ``d``. Returns two int64
    tensors ``(token, channel)`` of shape (h, T, d // h), such that for every b

        x.view(B, h, T, d // h)[b, i, t, j] = x[b, token[i, t, j], channel[i, t, j]].
    """
    place = torch.arange(T * d).view(h, T, d // h)
    return place // d, place % d


def mha(
    x: Float[Tensor, "B T d"],
    params: Mapping[str, Float[Tensor, "d d"]],
    h: int,
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "B T d"]:
    """Multi-head self-attention, section 3.2.2 of arXiv 1706.03762:

        MultiHead(x) = Concat(head_1, ..., head_h) W_O,
        head_i = Attention(x W_Q,i, x W_K,i, x W_V,i),      d_k = d_v = d / h.

    ``params`` holds four (d, d) matrices: "Wq", "Wk", "Wv" and "Wo". The h matrices W_Q,i stand side
    by side in ``Wq``: the first d_k columns belong to the first head, and so on; the same for "Wk"
    and "Wv". There are no biases. Attention is Day 10's ``sdpa``.

    ``mask`` is a bool tensor that broadcasts to (B, h, T, T): True at [b, i, t, s] means that in
    head i token t may attend to token s. ``None`` allows everything. A token that may attend to
    nothing in any head gets zeros. Raises ValueError if ``h`` does not divide d.

    Write it with tensor operations: no torch.nn, no ready-made attention.
    """
    q, k, v = (split_heads(x @ params[name], h) for name in ("Wq", "Wk", "Wv"))
    heads = sdpa(q, k, v, mask)
    return merge_heads(heads) @ params["Wo"]


def head_contributions(
    x: Float[Tensor, "B T d"],
    params: Mapping[str, Float[Tensor, "d d"]],
    h: int,
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "h B T d"]:
    """What each head adds to the output of ``mha``.

    Concat(head_1, ..., head_h) W_O is a sum with one term for each head. Returns the h terms,
    stacked along a new first axis, so that

        head_contributions(x, params, h, mask).sum(dim=0) = mha(x, params, h, mask),

    and term i depends on head i only: setting the columns of head i in "Wv" to zero makes it zero
    and leaves the others as they are. The arguments mean the same as for ``mha``.
    """
    q, k, v = (split_heads(x @ params[name], h) for name in ("Wq", "Wk", "Wv"))
    heads = sdpa(q, k, v, mask)                                          # (B, h, T, d_head)
    Wo = params["Wo"].reshape(h, -1, x.shape[-1])                        # (h, d_head, d)
    return torch.einsum("bhtj,hjd->hbtd", heads, Wo)


def causal_mask(T: int) -> Bool[Tensor, "T T"]:
    """The mask of a language model: entry [t, s] is True if s <= t, else False.

    A bool tensor of shape (T, T). Token t may attend to itself and to all tokens before it.
    """
    return torch.ones(T, T, dtype=torch.bool).tril()


def padding_mask(lengths: Sequence[int] | Int[Tensor, "B"], T: int) -> Bool[Tensor, "B 1 1 T"]:
    """The mask of a batch whose sequences were filled up to ``T`` tokens at the end.

    The first ``lengths[b]`` tokens of sequence b are real, the others padding; 0 <= lengths[b] <= T.
    Returns a bool tensor of shape (B, 1, 1, T): entry [b, 0, 0, s] is True if token s of sequence b
    is real. ``lengths`` may be a list or a tensor.

    For ``mha`` this means: no token attends to padding. ``padding_mask(lengths, T) & causal_mask(T)``
    is the mask for both.
    """
    return torch.arange(T) < torch.as_tensor(lengths)[:, None, None, None]


def dependence(
    f: Callable[[Tensor], Tensor], x: Float[Tensor, "B T d"]
) -> Bool[Tensor, "T T"]:
    """Which outputs of ``f`` depend on which inputs: a test for leaks from the future.

    ``f`` maps (B, T, d) to (B, T, c) for some c. It is smooth and draws nothing at random, and an
    output that does not depend on a token stays the same to the last bit when that token changes.
    Entry [t, s] of the result is True if the output at token t depends on token s: if some change
    of token s alone, in any of its channels and in any sequence of the batch, changes the output
    at token t, in any channel and in any sequence. Else it is False.

    A bool tensor of shape (T, T). For a causal ``f`` all entries with s > t are False. ``x`` is
    float64 and is left unchanged; ``f`` may change the tensor that it is given.
    """
    T = x.shape[1]
    before = f(x.clone())
    result = torch.zeros(T, T, dtype=torch.bool)
    for s in range(T):
        changed = x.clone()
        changed[:, s] += torch.randn_like(x[:, s])
        result[:, s] = (f(changed) != before).any(dim=2).any(dim=0)
    return result


class MultiHeadAttention(nn.Module):
    """Multi-head self-attention as a layer: ``mha`` with parameters of its own.

    ``MultiHeadAttention(d, h)`` has four parameters, ``Wq``, ``Wk``, ``Wv`` and ``Wo``, each an
    ``nn.Parameter`` of shape (d, d), and no others.
    """

    def __init__(self, d: int, h: int):
        """Make the layer for tokens of ``d`` channels with ``h`` heads.

        All entries of the four matrices are drawn independently and uniformly from [−a, a] with
        a = 1/√d, by torch's global random generator. Raises ValueError if ``h`` does not divide
        ``d``.
        """
        super().__init__()
        if d % h:
            raise ValueError(f"{h} heads do not divide {d} channels")
        self.h = h
        for name in ("Wq", "Wk", "Wv", "Wo"):
            W = torch.empty(d, d).uniform_(-1 / math.sqrt(d), 1 / math.sqrt(d))
            setattr(self, name, nn.Parameter(W))

    def forward(
        self, x: Float[Tensor, "B T d"], mask: Bool[Tensor, "..."] | None = None
    ) -> Float[Tensor, "B T d"]:
        """``mha`` of ``x`` with this layer's parameters, as many heads as it was made with, and
        ``mask``, which has the meaning that it has for ``mha``.
        """
        params = {"Wq": self.Wq, "Wk": self.Wk, "Wv": self.Wv, "Wo": self.Wo}
        return mha(x, params, self.h, mask)


def from_torch(theirs: nn.MultiheadAttention) -> MultiHeadAttention:
    """Your layer with the weights of PyTorch's: both give the same output for the same input.

    ``theirs`` was made by ``nn.MultiheadAttention(d, h, bias=False)`` and holds, among others,

    - ``embed_dim`` and ``num_heads``: d and h;
    - ``in_proj_weight``: shape (3d, d); its first d rows make the queries, the next d the keys, the
      last d the values, each by ``x @ rows.T``;
    - ``out_proj.weight``: shape (d, d); the output is ``heads @ out_proj.weight.T``;
    - ``in_proj_bias``: None, or the biases of the three projections.

    The result's parameters are copies, of the dtype of ``in_proj_weight``: training one of the two
    layers does not change the other. ``theirs`` is left as it is. Raises ValueError if
    ``in_proj_bias`` is not None, because your layer has no biases.
    """
    if theirs.in_proj_bias is not None:
        raise ValueError("a layer with biases cannot be taken over")
    ours = MultiHeadAttention(theirs.embed_dim, theirs.num_heads)
    weights = [*theirs.in_proj_weight.chunk(3), theirs.out_proj.weight]
    for name, W in zip(("Wq", "Wk", "Wv", "Wo"), weights, strict=True):
        setattr(ours, name, nn.Parameter(W.detach().T.clone()))
    return ours


def two_pattern_batch(
    B: int, T: int, m: int, generator: torch.Generator
) -> tuple[Float[Tensor, "B T d"], Float[Tensor, "B T d"]]:
    """Inputs and targets of the two-pattern task: B rings of T tokens, d = m + 2T channels.

    The channels of token t of an input: its content, m standard normal numbers; then its position,
    T numbers, one-hot at t; then a pointer, T numbers, one-hot at p(t), drawn from all positions but
    that of the token before it, (t − 1) mod T. The target at t: the content of the token before it
    in the first m channels, the content of token p(t) in the next m, then zeros.
    """
    content = torch.randn(B, T, m, generator=generator)
    eye = torch.eye(T)
    before = (torch.arange(T) - 1) % T
    pointer = (before + torch.randint(1, T, (B, T), generator=generator)) % T
    x = torch.cat([content, eye.expand(B, T, T), eye[pointer]], dim=-1)
    pointed = content.gather(1, pointer[..., None].expand(B, T, m))
    y = torch.cat([content[:, before], pointed, torch.zeros(B, T, 2 * T - m)], dim=-1)
    return x, y


def planted_heads(T: int, m: int) -> dict[str, Float[Tensor, "d d"]]:
    """Weights with which two heads solve the two-pattern task, without training.

    The layout of tokens and targets is that of ``two_pattern_batch``: d = m + 2T channels, content
    (m), position (T), pointer (T). ``m`` is even and m <= T. Returns ``params`` for ``mha`` with
    h = 2, float32, such that for every input

    - in the first head every token gives the token before it, (t − 1) mod T, a weight above 0.999;
    - in the second head it gives the token that it points to a weight above 0.999;
    - every entry of ``mha(x, params, 2)`` is within 0.01 of the target.
    """
    d = m + 2 * T
    half = d // 2
    content, position, pointer = slice(0, m), slice(m, m + T), slice(m + T, d)
    first, second = slice(0, T), slice(half, half + T)
    sharp = 20 * math.sqrt(half)
    Wq, Wk, Wv, Wo = torch.zeros(4, d, d)
    Wq[position, first] = sharp * torch.eye(T).roll(-1, dims=1)
    Wq[pointer, second] = sharp * torch.eye(T)
    Wk[position, first] = Wk[position, second] = torch.eye(T)
    Wv[content, :m] = Wv[content, half : half + m] = torch.eye(m)
    Wo[:m, :m] = Wo[half : half + m, m : 2 * m] = torch.eye(m)
    return {"Wq": Wq, "Wk": Wk, "Wv": Wv, "Wo": Wo}


def one_head_error(
    a: Float[Tensor, "T"], i: int, j: int
) -> tuple[float, float, float]:
    """How well one head can do at giving two contents apart: ``(alpha, beta, error)``.

    The contents c_s of T tokens are independent random numbers with mean 0 and variance 1. One
    head gives token s the weight ``a[s]``, which does not depend on the contents, and sees only the
    average z = Σ_s a_s c_s. Two different tokens i and j are asked for:

    - ``alpha`` is the number for which E[(c_i − alpha·z)²] is least;
    - ``beta`` is the number for which E[(c_j − beta·z)²] is least;
    - ``error`` is the mean of these two least values.

    Exact (nothing is drawn at random), as three Python floats. ``a`` has at least one entry that is
    not 0; its entries need not add up to 1.
    """
    total = float(a @ a)
    alpha, beta = float(a[i]) / total, float(a[j]) / total
    return alpha, beta, 1 - (alpha * float(a[i]) + beta * float(a[j])) / 2
