"""Day 20: RMSNorm and SwiGLU, the normalisation and the feed-forward network of Llama, in PyTorch.

Follows Zhang and Sennrich, "Root Mean Square Layer Normalization" (arXiv 1910.07467), and Shazeer,
"GLU Variants Improve Transformer" (arXiv 2002.05202). The rule for the hidden size is that of Meta's
Llama code. Leaves out pRMSNorm (RMSNorm's section 3.2) and Swish with a β other than 1.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def rmsnorm(
    x: Float[Tensor, "... d"], g: Float[Tensor, "d"], eps: float = 1e-6
) -> tuple[Float[Tensor, "... d"], Any]:
    """RMS normalisation, equation 4 of arXiv 1910.07467: every vector along the last dimension by itself.

        r = √(Σ x_i² / d + eps),      x̂_i = x_i / r,      y_i = g_i x̂_i.

    ``x`` has any number of leading dimensions, none included, and any floating dtype; ``g`` has that
    dtype too. Returns ``(y, cache)``: y has the shape and dtype of ``x``; the cache is whatever your
    ``rmsnorm_backward`` will need, and no check looks into it.

    Precision: x̂ is computed in float32 where ``x`` is float16 or bfloat16, so that squares do not
    overflow, and rounded to the dtype of ``x`` before g multiplies it. float64 stays float64.

    The arguments are left unchanged, and gradients flow through y when autograd is on. Write it with
    tensor operations: no torch.nn, no ready-made normalisation.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    r = torch.sqrt((wide**2).mean(dim=-1, keepdim=True) + eps)
    x_hat = wide / r
    return x_hat.to(x.dtype) * g, (x_hat, r, g)


def rmsnorm_backward(
    dy: Float[Tensor, "... d"], cache: Any
) -> tuple[Float[Tensor, "... d"], Float[Tensor, "d"]]:
    """Send the gradient of a loss back through ``rmsnorm``, by hand.

    ``cache`` is what ``rmsnorm(x, g, eps)`` returned beside y, and ``dy`` = ∂L/∂y has the shape and
    dtype of x. Returns ``(dx, dg)`` = (∂L/∂x, ∂L/∂g), each of the shape and dtype of the tensor that
    it belongs to: all vectors share g. Exact for any eps. ``dy`` and ``cache`` are left unchanged, so
    it may be called again with the same cache.

    Autograd is off while it runs, and torch.autograd is not allowed.
    """
    x_hat, r, g = cache
    wide = dy.to(x_hat.dtype)
    d_hat = wide * g
    dx = (d_hat - x_hat * (d_hat * x_hat).mean(dim=-1, keepdim=True)) / r
    dg = (wide * x_hat).reshape(-1, g.shape[0]).sum(dim=0)
    return dx.to(dy.dtype), dg.to(dy.dtype)


class RMSNorm(nn.Module):
    """RMS normalisation as a layer: the y of ``rmsnorm`` with a gain of its own.

    ``RMSNorm(dim, eps)`` has one parameter and no other: ``weight``, an ``nn.Parameter`` of shape
    (dim,). The statistics are those of each vector along the last dimension.
    """

    def __init__(self, dim: int, eps: float = 1e-6):
        """Make the layer for vectors of ``dim`` channels. At first the weight is 1 everywhere."""
        super().__init__()
        # BEGIN SOLUTION
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
        # END SOLUTION

    def forward(self, x: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
        """The y of ``rmsnorm`` of ``x``, with this layer's weight and eps."""
        return rmsnorm(x, self.weight, self.eps)[0]


def rms_vs_layernorm(
    norm: Callable[[Tensor], Tensor],
    W: Float[Tensor, "d n"],
    X: Float[Tensor, "cases d"],
    a: float,
    v: Float[Tensor, "d"],
) -> dict[str, float]:
    """What a normalisation does not notice: the columns of table 1 of arXiv 1910.07467, as numbers.

    ``norm`` maps a tensor (cases, n) to one of the same shape. A layer computes Y = norm(X W), one row
    of X being one case. Change its weights or its data in one of six ways and compute Y′. Returns a
    dict of six Python floats, each the largest |Y′ − Y| over all entries:

    - "matrix_scale": every entry of W times ``a``;
    - "matrix_shift": the vector ``v`` added to every column of W;
    - "column_scale": the first column of W times ``a``, the others as they were;
    - "data_scale":   every entry of X times ``a``;
    - "data_shift":   the vector ``v`` added to every row of X;
    - "case_scale":   the first row of X times ``a``, the others as they were.

    ``norm`` may look at several rows at once, so it always gets all of them. ``W``, ``X`` and ``v``
    are left unchanged.
    """
    column, row = torch.ones_like(W[0]), torch.ones_like(X[:, :1])
    column[0], row[0] = a, a
    changed = {
        "matrix_scale": (X, a * W),
        "matrix_shift": (X, W + v[:, None]),
        "column_scale": (X, W * column),
        "data_scale": (a * X, W),
        "data_shift": (X + v, W),
        "case_scale": (X * row, W),
    }
    Y = norm(X @ W)
    return {name: float((norm(A @ B) - Y).abs().max()) for name, (A, B) in changed.items()}


def silu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """SiLU, also called Swish with β = 1 (arXiv 1702.03118, 1710.05941), entry by entry:

        silu(x) = x σ(x),      σ(x) = 1 / (1 + e^(−x)).

    Shape and dtype of ``x``, any shape. The value, and its gradient by autograd, are finite and right
    for |x| = 1000 too. ``x`` is left unchanged. torch.sigmoid is allowed, torch.nn is not.
    """
    return x * torch.sigmoid(x)


def silu_grad(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The derivative of ``silu`` at every entry of ``x``, from a formula, without autograd.

    Shape and dtype of ``x``, any shape; finite and right for |x| = 1000 too. ``x`` is left unchanged.
    """
    s = torch.sigmoid(x)
    return s * (1 + x * (1 - s))


def glu(x: Float[Tensor, "... two_n"], kind: str) -> Float[Tensor, "... n"]:
    """A gated linear unit without its matrices: one half of the channels opens or closes the other.

    The last dimension of ``x`` has 2n entries: the first n are the gate's argument u, the last n the
    values v. Returns φ(u) ⊙ v, with φ by ``kind`` (equations 4 and 5 of arXiv 2002.05202):

        "sigmoid"    σ(u)                      GLU, arXiv 1612.08083
        "bilinear"   u                         no nonlinearity
        "relu"       max(u, 0)                 ReGLU
        "gelu"       u (1 + erf(u/√2)) / 2     GEGLU, with the exact GELU
        "silu"       u σ(u)                    SwiGLU

    (The gate comes first, as in the paper; torch.nn.functional.glu has it last.) Raises ValueError
    for any other ``kind``, and if the last dimension of ``x`` is odd. ``x`` has any number of leading
    dimensions and is left unchanged. torch.nn is not allowed.
    """
    gates: dict[str, Callable[[Tensor], Tensor]] = {
        "sigmoid": torch.sigmoid,
        "bilinear": lambda u: u,
        "relu": torch.relu,
        "gelu": lambda u: u * (1 + torch.erf(u / math.sqrt(2))) / 2,
        "silu": silu,
    }
    if kind not in gates:
        raise ValueError(f"kind must be one of {', '.join(gates)}, not {kind!r}")
    if x.shape[-1] % 2:
        raise ValueError(f"the last dimension must be even, not {x.shape[-1]}")
    u, v = x.chunk(2, dim=-1)
    return gates[kind](u) * v


def swiglu_forward(
    x: Float[Tensor, "... d"],
    W1: Float[Tensor, "d hidden"],
    W3: Float[Tensor, "d hidden"],
    W2: Float[Tensor, "hidden d"],
) -> tuple[Float[Tensor, "... d"], Any]:
    """The feed-forward network of Llama, equation 6 of arXiv 2002.05202 without biases:

        y = (silu(x W1) ⊙ (x W3)) W2.

    (The names are Llama's: W1 makes the gate, W3 the values.) ``x`` has any number of leading
    dimensions, none included. Returns ``(y, cache)``: y has the shape of ``x``; the cache is whatever
    your ``swiglu_backward`` will need, and no check looks into it. The arguments are left unchanged,
    and gradients flow through y when autograd is on. torch.nn is not allowed.
    """
    u, v = x @ W1, x @ W3
    return (silu(u) * v) @ W2, (x, u, v, W1, W3, W2)


def swiglu(
    x: Float[Tensor, "... d"],
    W1: Float[Tensor, "d hidden"],
    W3: Float[Tensor, "d hidden"],
    W2: Float[Tensor, "hidden d"],
) -> Float[Tensor, "... d"]:
    """The y of ``swiglu_forward``, without the cache."""
    return swiglu_forward(x, W1, W3, W2)[0]


def swiglu_backward(
    dy: Float[Tensor, "... d"], cache: Any
) -> tuple[
    Float[Tensor, "... d"],
    Float[Tensor, "d hidden"],
    Float[Tensor, "d hidden"],
    Float[Tensor, "hidden d"],
]:
    """Send the gradient of a loss back through ``swiglu_forward``, by hand.

    ``cache`` is what ``swiglu_forward(x, W1, W3, W2)`` returned, and ``dy`` = ∂L/∂y has the shape of
    x. Returns ``(dx, dW1, dW3, dW2)``, the gradients in the order of the arguments, each of the shape
    of the tensor that it belongs to. ``dy`` and ``cache`` are left unchanged, so it may be called
    again with the same cache. Autograd is off while it runs, and torch.autograd is not allowed.
    """
    x, u, v, W1, W3, W2 = cache
    gate = silu(u)
    dh = dy @ W2.T
    du = dh * v * silu_grad(u)
    dv = dh * gate
    rows, h = x.reshape(-1, x.shape[-1]), (gate * v).reshape(-1, u.shape[-1])
    dW1 = rows.T @ du.reshape(-1, u.shape[-1])
    dW3 = rows.T @ dv.reshape(-1, u.shape[-1])
    dW2 = h.T @ dy.reshape(-1, dy.shape[-1])
    return du @ W1.T + dv @ W3.T, dW1, dW3, dW2


def glu_hidden(dff: int, multiple_of: int = 1) -> int:
    """The hidden size that gives a gated network the weights of a plain one with ``dff`` units.

    Section 2 of arXiv 2002.05202 takes two thirds; Meta's Llama code then goes up to a size that
    suits the hardware: the smallest multiple of ``multiple_of`` that is not below ⌊2 dff / 3⌋. Both
    arguments are positive integers; the result is an int, at least ``multiple_of``.
    """
    return multiple_of * max(1, math.ceil((2 * dff // 3) / multiple_of))


class SwiGLU(nn.Module):
    """The feed-forward network of Llama as a layer.

    ``SwiGLU(dim, hidden)`` has three members, each an ``nn.Linear`` without bias, initialised as
    PyTorch does it: ``w1`` and ``w3`` from dim to hidden channels, ``w2`` from hidden to dim. They are
    all its parameters. Mind that the ``weight`` of an nn.Linear is stored transposed, (out, in).
    """

    def __init__(self, dim: int, hidden: int):
        """Make the layer for tokens of ``dim`` channels with ``hidden`` hidden units."""
        super().__init__()
        # BEGIN SOLUTION
        self.w1 = nn.Linear(dim, hidden, bias=False)
        self.w3 = nn.Linear(dim, hidden, bias=False)
        self.w2 = nn.Linear(hidden, dim, bias=False)
        # END SOLUTION

    def forward(self, x: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
        """``swiglu`` of ``x``: w1 makes the gate, w3 the values, w2 brings them back."""
        return self.w2(silu(self.w1(x)) * self.w3(x))


def train_and_test(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    test: tuple[Tensor, Tensor],
    lr: float,
) -> tuple[list[float], float]:
    """Train a classifier, one step of Adam for each batch, then test it once.

    ``model(x)`` gives logits (..., C) for a batch ``(x, y)`` with classes y (...); the loss is their
    cross-entropy, averaged over all entries of y. Adam is ``torch.optim.Adam`` with rate ``lr`` and
    its other settings as they are. The model trains in training mode and is tested in evaluation mode
    (``model.train()``, ``model.eval()``), without recording a graph.

    Returns ``(losses, tested)``: the loss of every batch before its step, as Python floats, and the
    loss on ``test`` after the last step, a Python float. A test loss that is not finite, because the
    training has diverged, is returned as ``math.inf``.
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    model.train()
    for x, y in batches:
        loss = nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        tested = nn.functional.cross_entropy(model(test[0]).flatten(0, -2), test[1].flatten()).item()
    return losses, tested if math.isfinite(tested) else math.inf


def norm_ablation(
    norms: Mapping[str, Any],
    make_model: Callable[[Any], nn.Module],
    batches: Sequence[tuple[Tensor, Tensor]],
    test: tuple[Tensor, Tensor],
    lr: float,
    seeds: Sequence[int],
) -> dict[str, dict[str, Any]]:
    """Train one model for each normalisation and seed; all else is equal. The table has a row a name.

    For each ``name`` of ``norms`` and each seed: torch's global random generator is seeded with it,
    then one call of ``make_model(norms[name])`` gives a model, which ``train_and_test`` then trains
    and tests with ``batches``, ``test`` and ``lr``. A row is a dict with

    - "parameters": the number of entries of all parameters of one model, an int;
    - "losses": the test losses, a list in the order of ``seeds``;
    - "mean": their mean, a float, ``math.inf`` if one of them is.

    Rows are in the order of ``norms``. There is at least one seed.
    """
    table = {}
    for name, norm in norms.items():
        losses = []
        for seed in seeds:
            torch.manual_seed(seed)
            model = make_model(norm)
            losses.append(train_and_test(model, batches, test, lr)[1])
        count = sum(p.numel() for p in model.parameters())
        table[name] = {"parameters": count, "losses": losses, "mean": sum(losses) / len(losses)}
    return table


def ffn_activation_ablation(
    variants: Mapping[str, tuple[str, bool]],
    dff: int,
    make_model: Callable[[str, bool, int], nn.Module],
    batches: Sequence[tuple[Tensor, Tensor]],
    test: tuple[Tensor, Tensor],
    lr: float,
    seeds: Sequence[int],
) -> dict[str, dict[str, Any]]:
    """Train one model for each feed-forward network and seed, with as many weights in each.

    ``variants`` maps a name to ``(kind, gated)``: the activation, and whether it gates a second half.
    A plain network (``gated`` False) has ``dff`` hidden units, a gated one ``glu_hidden(dff)``. For
    each name and each seed: torch's global random generator is seeded with it, then comes one call of
    ``make_model(kind, gated, hidden)``, then ``train_and_test``, as in ``norm_ablation``.

    Returns the table of ``norm_ablation``, rows in the order of ``variants``, each with one more
    entry: "hidden", the number of hidden units, an int.
    """
    sizes = {name: glu_hidden(dff) if gated else dff for name, (_, gated) in variants.items()}
    settings = {name: (*variant, sizes[name]) for name, variant in variants.items()}
    table = norm_ablation(settings, lambda s: make_model(*s), batches, test, lr, seeds)
    return {name: {"hidden": sizes[name]} | row for name, row in table.items()}
