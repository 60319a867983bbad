"""Day 13: positional encoding, from "attention knows no order" to rotations, in PyTorch.

Follows Vaswani et al., "Attention Is All You Need" (arXiv 1706.03762), section 3.5, and for the
last two functions Su et al., "RoFormer" (arXiv 2104.09864), section 3.2.1. Leaves out learned
position embeddings (the lesson trains one; Day 14's GPT has one), RoPE in d dimensions (Day 21)
and all other ways to encode positions (Day 53).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .day10_scaled_dot_product_attention import safe_softmax


def permutation_gap(
    f: Callable[[Float[Tensor, "B T d"]], Float[Tensor, "B T d_out"]],
    x: Float[Tensor, "B T d"],
    perm: Int[Tensor, "T"],
) -> float:
    """How far ``f`` is from being permutation-equivariant, for this ``x`` and ``perm``.

    ``perm`` holds each of 0, ..., T − 1 once. For a tensor y whose dimension 1 holds T tokens,
    let Πy be the same tokens in another order: position i of Πy holds the token that stood at
    position perm[i] of y. ``f`` is permutation-equivariant if f(Πx) = Π f(x), always.

    Returns the largest absolute entry of f(Πx) − Π f(x), as a Python float. ``x`` is left
    unchanged.
    """
    return float((f(x[:, perm]) - f(x)[:, perm]).abs().max())


def equivariance_steps(
    scores: Float[Tensor, "T T"], v: Float[Tensor, "T dv"], perm: Int[Tensor, "T"]
) -> dict[str, Tensor]:
    """What self-attention computes after its tokens were put in another order.

    For one sequence in its first order, without a mask, ``scores`` holds the scaled scores
    (row t: the query of position t; column s: the key of position s) and ``v`` the values (row
    s). Then the sequence is reordered: position i now holds the token that stood at position
    perm[i]. Returns a dict of what self-attention computes for the reordered sequence:

        "scores"   (T, T)    its scaled scores
        "weights"  (T, T)    its attention weights
        "values"   (T, dv)   its values
        "output"   (T, dv)   its output

    The tokens themselves are not given, and not needed. The arguments are left unchanged.
    """
    scores, v = scores[perm][:, perm], v[perm]
    weights = safe_softmax(scores)
    return {"scores": scores, "weights": weights, "values": v, "output": weights @ v}


def sinusoidal_pe(T: int, d: int) -> Float[Tensor, "T d"]:
    """The positional encoding of section 3.5 of arXiv 1706.03762, for positions 0 to T − 1.

    With the rates ω_i = 10000^(−2i/d), for i = 0, ..., d/2 − 1:

        PE[t, 2i] = sin(ω_i t),      PE[t, 2i + 1] = cos(ω_i t).

    The result is a tensor of float64 or float32 (both are accepted), every entry right to
    0.00001 at least, at position 20000 too. Raises ValueError if ``d`` is odd.
    """
    if d % 2:
        raise ValueError(f"d must be even, not {d}")
    rates = 10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angles = torch.arange(T)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(T, d)


def shift_matrix(k: float, d: int) -> Float[Tensor, "d d"]:
    """The matrix M_k that moves every positional encoding by ``k`` positions:

        M_k PE[t] = PE[t + k]      for all positions t,

    where PE[t], a column of d numbers, is row t of ``sinusoidal_pe(T, d)``, whose formula also
    gives PE for positions below 0 and between whole numbers. M_k depends on k and d alone. ``k``
    is any number: negative moves back, and 0.5 by half a position.

    The result is a tensor of float64 or float32, right to 0.00001 at least. Raises ValueError if
    ``d`` is odd.
    """
    if d % 2:
        raise ValueError(f"d must be even, not {d}")
    M = torch.zeros(d, d, dtype=torch.float64)
    even = torch.arange(0, d, 2)
    angle = k * 10000.0 ** (-even.double() / d)
    M[even, even] = M[even + 1, even + 1] = angle.cos()
    M[even, even + 1] = angle.sin()
    M[even + 1, even] = -angle.sin()
    return M


def pe_dot(k: Float[Tensor, "..."], d: int) -> Float[Tensor, "..."]:
    """The dot product of two positional encodings that are ``k`` positions apart:

        PE[t] · PE[t + k],      which is the same for every t.

    ``k`` is a tensor of any shape, of whole numbers (int64) or others (float64), negative ones
    too; ``d`` is even. The result has the shape of ``k`` and holds floats.
    """
    rates = 10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    return torch.cos(k[..., None] * rates).sum(dim=-1)


def pe_spectrum(T: int, d: int) -> tuple[Float[Tensor, "bins"], Float[Tensor, "bins d"]]:
    """Which frequencies each column of ``sinusoidal_pe(T, d)`` is made of.

    Read column j as a signal x_0, ..., x_{T−1}, one sample per token. Its discrete Fourier
    transform (plain: no window, no padding, the mean left in) is

        X_n = Σ_t x_t exp(−2πi n t / T),      n = 0, ..., T − 1,

    and its energy at n is |X_n|². As x is real, n and T − n have the same energy and mean the
    same frequency, so they are counted together. Returns ``(frequencies, share)``:

        frequencies  (T // 2 + 1,)     n / T for n = 0, ..., T // 2, in cycles per token
        share        (T // 2 + 1, d)   for each column, what part of its energy is at n and T − n
                                       together; each column of ``share`` adds up to 1

    ``T`` is at least 2, even or odd, and ``d`` is even.
    """
    energy = torch.fft.rfft(sinusoidal_pe(T, d), dim=0).abs() ** 2
    n = torch.arange(T // 2 + 1, dtype=torch.float64)
    alone = (n == 0) | (2 * n == T)
    energy = energy * torch.where(alone, 1, 2)[:, None]
    return n / T, energy / energy.sum(dim=0)


def rotate2d(x: Float[Tensor, "... 2"], theta: float | Float[Tensor, "..."]) -> Float[Tensor, "... 2"]:
    """Rotate the vectors (x_0, x_1) in the last dimension of ``x`` by the angle ``theta``:

        y_0 = x_0 cos θ − x_1 sin θ,      y_1 = x_0 sin θ + x_1 cos θ.

    That is counterclockwise, with θ in radians. ``theta`` is a number, or a tensor that broadcasts
    to the dimensions of ``x`` in front of the last: one angle for each vector. The result has
    the shape and dtype of ``x``; ``x`` is left unchanged, and gradients flow through to it.
    """
    theta = torch.as_tensor(theta, dtype=x.dtype)
    cos, sin = theta.cos(), theta.sin()
    a, b = x.unbind(dim=-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)


def relative_score(
    q: Float[Tensor, "... 2"],
    k: Float[Tensor, "... 2"],
    offset: float | Float[Tensor, "..."],
    theta: float,
) -> Float[Tensor, "..."]:
    """The score of a query and a key that were rotated by their positions.

    A query at position m is rotated by the angle mθ, a key at position n by nθ (``rotate2d``).
    The dot product of the two depends on m and n only through ``offset`` = m − n, the number of
    positions from the key up to the query:

        rotate2d(q, mθ) · rotate2d(k, nθ).

    ``q`` and ``k`` have the same shape; ``offset`` is a number, or a tensor that broadcasts to
    their dimensions in front of the last. The result has those dimensions.
    """
    return (rotate2d(q, offset * theta) * k).sum(dim=-1)
