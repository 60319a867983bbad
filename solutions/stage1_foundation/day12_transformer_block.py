"""Day 12: layer normalisation, the feed-forward network and the Transformer block, in PyTorch.

Follows Ba et al., "Layer Normalization" (arXiv 1607.06450), Vaswani et al., "Attention Is All You
Need" (arXiv 1706.03762), sections 3.1 and 3.3, and Xiong et al., "On Layer Normalization in the
Transformer Architecture" (arXiv 2002.04745), on top of Day 11's attention. GELU (arXiv 1606.08415)
stands where Vaswani et al. have ReLU. Leaves out dropout and RMSNorm (Day 20).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .day11_multi_head_attention import MultiHeadAttention


def layernorm_forward(
    x: Float[Tensor, "... d"],
    g: Float[Tensor, "d"],
    b: Float[Tensor, "d"],
    eps: float = 1e-5,
) -> tuple[Float[Tensor, "... d"], Any]:
    """Layer normalisation: every vector along the last dimension by itself.

    For each vector x_1, ..., x_d:

        μ = Σ x_i / d,    σ² = Σ (x_i − μ)² / d,    x̂_i = (x_i − μ) / √(σ² + eps),
        y_i = g_i x̂_i + b_i.

    ``x`` has any number of leading dimensions, none included. Returns ``(y, cache)``: y has the
    shape and dtype of ``x``; the cache is whatever your ``layernorm_backward`` will need, and no
    check looks into it. The result is accurate where |μ| is a million times σ. The arguments are
    left unchanged, and gradients flow through y when autograd is on.

    Write it with tensor operations: no torch.nn, no ready-made normalisation.
    """
    centred = x - x.mean(dim=-1, keepdim=True)
    s = torch.sqrt((centred**2).mean(dim=-1, keepdim=True) + eps)
    x_hat = centred / s
    return g * x_hat + b, (x_hat, s, g)


def layernorm(
    x: Float[Tensor, "... d"],
    g: Float[Tensor, "d"],
    b: Float[Tensor, "d"],
    eps: float = 1e-5,
) -> Float[Tensor, "... d"]:
    """The y of ``layernorm_forward``, without the cache."""
    return layernorm_forward(x, g, b, eps)[0]


def layernorm_backward(
    dy: Float[Tensor, "... d"], cache: Any
) -> tuple[Float[Tensor, "... d"], Float[Tensor, "d"], Float[Tensor, "d"]]:
    """Send the gradient of a loss back through layer normalisation, by hand.

    ``cache`` is what ``layernorm_forward(x, g, b, eps)`` returned, and ``dy`` = ∂L/∂y has the shape
    of x. Returns ``(dx, dg, db)`` = (∂L/∂x, ∂L/∂g, ∂L/∂b), each of the shape of the tensor that it
    belongs to: all vectors share g and b. Exact for any eps. ``dy`` and ``cache`` are left
    unchanged, so it may be called again with the same cache.

    Autograd is off while it runs, and torch.autograd is not allowed.
    """
    x_hat, s, g = cache
    leading = tuple(range(dy.ndim - 1))
    dg = (dy * x_hat).sum(dim=leading) if leading else dy * x_hat
    db = dy.sum(dim=leading) if leading else dy.clone()
    d_hat = dy * g
    along_one = d_hat.mean(dim=-1, keepdim=True)
    along_x_hat = x_hat * (d_hat * x_hat).mean(dim=-1, keepdim=True)
    return (d_hat - along_one - along_x_hat) / s, dg, db


class LayerNorm(nn.Module):
    """Layer normalisation as a layer: ``layernorm`` with parameters of its own.

    ``LayerNorm(d, eps)`` has two parameters and no others, each an ``nn.Parameter`` of shape (d,):
    ``g``, the gain, and ``b``, the shift.
    """

    def __init__(self, d: int, eps: float = 1e-5):
        """Make the layer for vectors of ``d`` channels. At first g is 1 and b is 0 everywhere."""
        super().__init__()
        self.eps = eps
        self.g = nn.Parameter(torch.ones(d))
        self.b = nn.Parameter(torch.zeros(d))

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """``layernorm`` of ``x`` with this layer's parameters and eps."""
        return layernorm(x, self.g, self.b, self.eps)


def ffn(
    x: Float[Tensor, "... d"], params: Mapping[str, Float[Tensor, "..."]]
) -> Float[Tensor, "... d"]:
    """The position-wise feed-forward network, section 3.3 of arXiv 1706.03762 with GELU for ReLU:

        FFN(x) = GELU(x W1 + b1) W2 + b2,      GELU(u) = u Φ(u) = u (1 + erf(u / √2)) / 2.

    ``params`` holds "W1" of shape (d, dff), "b1" (dff,), "W2" (dff, d) and "b2" (d,). Every token
    goes through it by itself. Φ is the normal distribution function, exactly, not one of the
    approximations of arXiv 1606.08415. ``x`` is left unchanged.

    Write it with tensor operations (torch.erf is one): no torch.nn.
    """
    u = x @ params["W1"] + params["b1"]
    hidden = u * (1 + torch.erf(u / math.sqrt(2))) / 2
    return hidden @ params["W2"] + params["b2"]


class FFN(nn.Module):
    """The feed-forward network as a layer: ``ffn`` with parameters of its own.

    ``FFN(d, dff)`` has four parameters and no others, each an ``nn.Parameter``: ``W1`` of shape
    (d, dff), ``b1`` (dff,), ``W2`` (dff, d) and ``b2`` (d,).
    """

    def __init__(self, d: int, dff: int):
        """Make the layer for tokens of ``d`` channels with ``dff`` hidden units.

        The entries of a matrix are drawn independently and uniformly from [−a, a] by torch's global
        random generator, with a = 1/√(number of its rows): 1/√d for W1, 1/√dff for W2. The biases
        are 0.
        """
        super().__init__()
        self.W1 = nn.Parameter(torch.empty(d, dff).uniform_(-(d**-0.5), d**-0.5))
        self.b1 = nn.Parameter(torch.zeros(dff))
        self.W2 = nn.Parameter(torch.empty(dff, d).uniform_(-(dff**-0.5), dff**-0.5))
        self.b2 = nn.Parameter(torch.zeros(d))

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """``ffn`` of ``x`` with this layer's parameters."""
        return ffn(x, {"W1": self.W1, "b1": self.b1, "W2": self.W2, "b2": self.b2})


def sublayer(
    x: Float[Tensor, "... d"],
    f: Callable[[Tensor], Tensor],
    ln: Callable[[Tensor], Tensor],
    norm: str,
) -> Float[Tensor, "... d"]:
    """A residual connection around ``f``, with the normalisation ``ln`` in one of two places.

        norm = "post":   LN(x + f(x))       section 3.1 of arXiv 1706.03762
        norm = "pre":    x + f(LN(x))       figure 1 (b) of arXiv 2002.04745

    ``f`` and ``ln`` map a tensor to one of the same shape, and may return the very tensor that they
    were given; each is called exactly once. ``x`` is left unchanged. Raises ValueError for any
    other ``norm``.
    """
    if norm == "pre":
        return x + f(ln(x))
    if norm == "post":
        return ln(x + f(x))
    raise ValueError(f'norm must be "pre" or "post", not {norm!r}')


def identity_test(
    f: Callable[[Tensor], Tensor], x: Float[Tensor, "..."], g: Float[Tensor, "..."]
) -> tuple[float, float]:
    """How far ``f`` is from the identity at ``x``, on the way forward and on the way back.

    ``f`` maps a tensor to one of the same shape, and ``g``, of that shape too, is a gradient that
    arrives at its output. Returns two Python floats ``(forward_gap, backward_gap)``:

    - the largest |f(x) − x| over all entries;
    - the largest |v − g| over all entries, with v = gᵀ ∂f/∂x at ``x``, by autograd.

    Where f(x) does not depend on ``x`` as far as autograd can see, v is 0. ``f`` is called once, with
    a tensor that has the values of ``x``. Afterwards all is as it was: ``x`` (which may or may not
    require a gradient) and ``g``, and no gradient has been added to the ``grad`` of any tensor, such
    as a parameter of ``f``.
    """
    leaf = x.detach().clone().requires_grad_()
    y = f(leaf)
    v = None
    if y.requires_grad:
        (v,) = torch.autograd.grad(y, leaf, g, allow_unused=True)
    v = torch.zeros_like(leaf) if v is None else v
    return (y - leaf).abs().max().item(), (v - g).abs().max().item()


@dataclass
class BlockConfig:
    """The sizes of a block: channels of a token, heads, hidden units of the feed-forward network."""

    d: int = 64
    h: int = 4
    dff: int = 256


class Block(nn.Module):
    """A Transformer block: self-attention, then the feed-forward network, each a ``sublayer``.

    ``Block(cfg, norm)`` has four parts, and all of its parameters are theirs:

    - ``attn``, Day 11's ``MultiHeadAttention``, with normalisation ``ln1``, a ``LayerNorm``;
    - ``ffn``, an ``FFN``, with normalisation ``ln2``, a ``LayerNorm`` of its own.

    What the first sublayer returns is the input of the second.
    """

    def __init__(self, cfg: BlockConfig, norm: str = "pre"):
        """Make the block with the sizes of ``cfg``. ``norm`` is "pre" or "post", as in ``sublayer``;
        any other raises ValueError.
        """
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f'norm must be "pre" or "post", not {norm!r}')
        self.norm = norm
        self.attn = MultiHeadAttention(cfg.d, cfg.h)
        self.ffn = FFN(cfg.d, cfg.dff)
        self.ln1 = LayerNorm(cfg.d)
        self.ln2 = LayerNorm(cfg.d)

    def forward(
        self, x: Float[Tensor, "B T d"], mask: Bool[Tensor, "..."] | None = None
    ) -> Float[Tensor, "B T d"]:
        """Both sublayers, one after the other. ``mask`` is for the attention and has the meaning that
        it has for ``MultiHeadAttention``. ``x`` is left unchanged.
        """
        x = sublayer(x, lambda u: self.attn(u, mask), self.ln1, self.norm)
        return sublayer(x, self.ffn, self.ln2, self.norm)


def grad_norm_by_depth(
    mode: str,
    L: int,
    x: Float[Tensor, "B T d"],
    y: Int[Tensor, "B T"],
    head: Float[Tensor, "d C"],
    make_block: Callable[[str], nn.Module],
) -> list[float]:
    """The size of the gradient that arrives at each of L blocks of a model before any training.

    The model: ``x`` passes through L blocks, each made by a call of ``make_block(mode)``, in the
    order in which they are made. If ``mode`` is "pre", its last output is normalised by ``layernorm``
    with g = 1, b = 0 and the default eps; if it is "post", nothing is added. Times ``head`` this
    gives the logits of C classes for every token; the loss is their cross-entropy with the classes
    ``y``, averaged over all B·T tokens.

    Returns a list of L Python floats, that of the block nearest to ``x`` first: the square root of
    the sum of squares of the gradient of the loss with respect to all entries of all parameters of
    that block. Every parameter takes part in the model.
    """
    blocks = [make_block(mode) for _ in range(L)]
    for block in blocks:
        x = block(x)
    if mode == "pre":
        d = x.shape[-1]
        x = layernorm(x, torch.ones(d), torch.zeros(d))
    logits = x @ head
    nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten()).backward()
    return [
        math.sqrt(sum(float((p.grad**2).sum()) for p in block.parameters())) for block in blocks
    ]
