"""Day 21: rotary position embedding (RoPE), in PyTorch.

Follows Su et al., "RoFormer" (arXiv 2104.09864): the rotation matrix of section 3.2.2, its cheap
form of section 3.4.2 and the long-range decay of section 3.4.3, with the pairs of channels next to
each other as there and in Meta's Llama code. Leaves out RoPE with linear attention (section 3.3)
and the ways to stretch RoPE to longer texts (Day 53).
"""

from collections.abc import Callable

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor


def _rates(d: int, base: float) -> Float[Tensor, "pairs"]:
    if d % 2:
        raise ValueError(f"d must be even, not {d}")
    return base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)


def rope_matrix(pos: float, d: int, base: float = 10000.0) -> Float[Tensor, "d d"]:
    """The rotation matrix R of RoPE for one position (arXiv 2104.09864, eq. 15).

    With the rates θ_i = base^(−2i/d), i = 0, ..., d/2 − 1, the matrix turns the coordinates 2i and
    2i + 1 of a column x of d numbers counterclockwise by the angle pos · θ_i, in radians:

        (R x)_2i     = x_2i cos(pos θ_i) − x_(2i+1) sin(pos θ_i)
        (R x)_(2i+1) = x_2i sin(pos θ_i) + x_(2i+1) cos(pos θ_i)

    ``pos`` is any number: negative ones and ones between whole numbers too. The result is a tensor
    of floats, each entry right to 0.0001 at least for positions from −100 to 100. Raises
    ValueError if ``d`` is odd.
    """
    angles = pos * _rates(d, base)
    R = torch.zeros(d, d, dtype=torch.float64)
    even = torch.arange(0, d, 2)
    R[even, even] = R[even + 1, even + 1] = angles.cos()
    R[even, even + 1] = -angles.sin()
    R[even + 1, even] = angles.sin()
    return R


def rope_complex(
    x: Float[Tensor, "... T d"], positions: Int[Tensor, "T"], base: float = 10000.0
) -> Complex[Tensor, "... T pairs"]:
    """RoPE on complex numbers (arXiv 2104.09864, section 3.2.1), for each of d/2 pairs.

    Read the coordinates 2i and 2i + 1 of a vector as one complex number z_i = x_2i + j x_(2i+1),
    with j² = −1, and turn it by its position, with θ_i = base^(−2i/d):

        z_i exp(j · position · θ_i)

    ``x`` holds one vector per token in its last dimension, float32 or float64; its token t stands
    at position ``positions[t]``, any whole number. Returns the turned complex numbers, shape
    (..., T, d/2), complex64 or complex128, each right to 0.0001 at least for positions below 1000
    and numbers below 10. ``x`` is left unchanged; d is even.
    """
    z = torch.complex(x[..., 0::2].double(), x[..., 1::2].double())
    angles = positions[:, None] * _rates(x.shape[-1], base)
    return z * torch.polar(torch.ones_like(angles), angles)


def rope_tables(
    T: int, d: int, base: float = 10000.0
) -> tuple[Float[Tensor, "T pairs"], Float[Tensor, "T pairs"]]:
    """The cosines and sines that RoPE needs for positions 0 to T − 1.

    Returns ``(cos, sin)``, two tensors of float32 and shape (T, d/2): row t, column i holds the
    cosine (the sine) of t θ_i, with θ_i = base^(−2i/d). Every entry is right to 0.000001, at
    position 100000 too. Raises ValueError if ``d`` is odd.
    """
    angles = torch.arange(T, dtype=torch.float64)[:, None] * _rates(d, base)
    return angles.cos().float(), angles.sin().float()


def apply_rope(
    q: Float[Tensor, "... Hq T d"],
    k: Float[Tensor, "... Hkv T d"],
    cos: Float[Tensor, "T pairs"],
    sin: Float[Tensor, "T pairs"],
) -> tuple[Float[Tensor, "... Hq T d"], Float[Tensor, "... Hkv T d"]]:
    """Rotate queries and keys by their positions (arXiv 2104.09864, eq. 34).

    Row t of ``cos`` and ``sin`` belongs to token t of ``q`` and ``k``, whatever its position is:
    the caller has chosen the rows. Coordinates 2i and 2i + 1 of a vector become

        y_2i     = x_2i cos[t, i] − x_(2i+1) sin[t, i]
        y_(2i+1) = x_2i sin[t, i] + x_(2i+1) cos[t, i]

    in every batch and head. ``q`` and ``k`` may have different numbers of heads. Returns the
    rotated ``(q, k)``, each with the shape and the dtype of its argument (float64, float32 or
    bfloat16; float32 precision is enough). The arguments are left unchanged, gradients flow
    through to q and k, and no matrix of size d × d is made.
    """
    return _turn(q, cos, sin), _turn(k, cos, sin)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x[..., 0::2], x[..., 1::2]
    turned = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1)
    return turned.flatten(-2).to(x.dtype)


def relative_gap(
    encode: Callable[[Float[Tensor, "T d"], Int[Tensor, "T"]], Float[Tensor, "T d"]],
    q: Float[Tensor, "Tq d"],
    k: Float[Tensor, "Tk d"],
    shift: int,
) -> float:
    """How far the scores under ``encode`` are from knowing relative positions only.

    ``encode(x, positions)`` puts positions into the vectors x (one per row; ``positions`` is an
    int64 tensor with one number per row) and returns as many vectors. Queries stand at positions
    0, ..., Tq − 1, keys at 0, ..., Tk − 1. The score of a query and a key is the dot product of
    the encoded vectors, without scale. Then *all* of them, queries and keys, move on by ``shift``
    positions, which changes no distance.

    Returns the largest absolute change of a score, over all Tq · Tk pairs, as a Python float.
    """

    def scores(start):
        return (encode(q, torch.arange(len(q)) + start)
                @ encode(k, torch.arange(len(k)) + start).T)

    return float((scores(shift) - scores(0)).abs().max())


def decay_steps(
    q: Float[Tensor, "d"], k: Float[Tensor, "d"], dist: int, base: float = 10000.0
) -> dict[str, Tensor]:
    """The derivation of the long-range decay (arXiv 2104.09864, section 3.4.3), on numbers.

    A query ``q`` and a key ``k`` (one vector each, float64, d even), before any rotation, stand
    ``dist`` positions apart: position of the query minus position of the key. With z_i as in
    ``rope_complex``, d/2 pairs and θ_i = base^(−2i/d), returns a dict of tensors:

        "h"         (d/2,) complex   h_i = z_i of q times the complex conjugate of z_i of k
        "score"     () real          the dot product of the rotated query and the rotated key
        "S"         (d/2,) complex   S_1, ..., S_(d/2), where S_r is the sum of the r numbers
                                     exp(√−1 · dist · θ_i), i = 0, ..., r − 1
        "w"         (d/2,) complex   the w_0, ..., w_(d/2−1) that make
                                     Σ_i h_i (S_(i+1) − S_i) = Σ_i w_i S_(i+1),  with S_0 = 0,
                                     whatever numbers S_1, ..., S_(d/2) are; both sums run over
                                     i = 0, ..., d/2 − 1, and w depends on h alone
        "triangle"  () real          Σ_i |w_i| |S_(i+1)|
        "bound"     () real          the largest |w_i|, times Σ_i |S_(i+1)|

    Right to six digits at least, for distances below 1000. No argument is changed.
    """
    zq, zk = (torch.complex(x[0::2], x[1::2]) for x in (q, k))
    angles = dist * _rates(len(q), base)
    phases = torch.polar(torch.ones_like(angles), angles)
    h, S = zq * zk.conj(), phases.cumsum(dim=0)
    w = h - torch.cat([h[1:], torch.zeros_like(h[:1])])
    return {"h": h, "score": (h * phases).real.sum(), "S": S, "w": w,
            "triangle": (w.abs() * S.abs()).sum(), "bound": w.abs().max() * S.abs().sum()}


def rope_decay_bound(
    dist: Float[Tensor, "..."], d: int, base: float = 10000.0
) -> Float[Tensor, "..."]:
    """The factor of the bound of section 3.4.3 that depends on the distance.

        B(dist) = (|S_1| + ... + |S_(d/2)|) / (d/2),   S_r = Σ_{i<r} exp(√−1 · dist · θ_i),

    with θ_i = base^(−2i/d): the mean absolute partial sum, which figure 2 of the paper shows.
    ``dist`` is a tensor of any shape, whole numbers (int64) or others (float64), negative ones
    too; ``d`` is even. The result has the shape of ``dist`` and holds floats, right to 0.0001 of
    their size at least for distances below 1000.
    """
    angles = dist[..., None] * _rates(d, base)
    S = torch.polar(torch.ones_like(angles), angles).cumsum(dim=-1)
    return S.abs().mean(dim=-1)
