"""Day 32: the backward pass of FlashAttention: P is recomputed tile by tile and never stored.

Follows algorithm 4 of Dao et al. (FlashAttention, arXiv 2205.14135, appendix B) in the order of Dao
(FlashAttention-2, arXiv 2307.08691, section 3.1.2, algorithm 2): key blocks outside, query blocks inside.
Leaves out dropout, which both recompute from the state of a random generator, and grouped queries. Tiles
are cut by hand in PyTorch on the CPU; ``delta_kernel`` is the Triton kernel of the preprocessing step.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ladder.triton import tl, triton


def attention_delta(dO: Float[Tensor, "... N d"], O: Float[Tensor, "... N d"]) -> Float[Tensor, "... N"]:
    """δ_i = Σ_c dO_ic · O_ic, one number for each row of the output O and of its gradient dO.

    It equals Σ_j P_ij · dP_ij with P the attention weights and dP = dO Vᵀ, the number that the gradient
    of softmax subtracts from row i; but it is known before any tile of P is.

    Any leading dimensions. Products and sums are made in float32 where the inputs are float16, bfloat16
    or float32, in float64 where they are float64; the result has that dtype.
    """
    wide = torch.promote_types(dO.dtype, torch.float32)
    return (dO.to(wide) * O.to(wide)).sum(-1)


def recompute_p(
    q: Float[Tensor, "... Br d"],
    k: Float[Tensor, "... Bc d"],
    L: Float[Tensor, "... Br"],
    diagonal: int | None = None,
) -> Float[Tensor, "... Br Bc"]:
    """One tile of the attention weights, from its queries, its keys and what the forward pass kept:

        P_ab = exp(q_a · k_b / √d − L_a),      L_a = log Σ exp(scores of row a), over all keys it sees.

    ``L`` belongs to whole rows of the attention matrix, of which this tile holds some columns: rows of
    the tile need not add up to 1.

    ``diagonal`` is None (all pairs count) or an integer: row a of the tile sees column b if and only if
    b <= a + diagonal. It may be negative, or so large that nothing is hidden. P is 0 at hidden pairs,
    however large their scores, and 0 in rows with L = −∞, which see no key at all.

    Any leading dimensions. Computed in float32 (float64 inputs: in float64), the dtype of the result.
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    S = q.to(wide) @ k.to(wide).mT / math.sqrt(q.shape[-1])
    if diagonal is not None:
        sees = torch.ones(S.shape[-2:], dtype=torch.bool, device=S.device).tril(diagonal)
        S = S.masked_fill(~sees, -math.inf)
    L = L.to(wide).masked_fill(torch.isneginf(L), math.inf)  # exp(S - inf) = 0
    return torch.exp(S - L[..., None])


def flash_backward(
    dO: Float[Tensor, "... N d"],
    q: Float[Tensor, "... N d"],
    k: Float[Tensor, "... M d"],
    v: Float[Tensor, "... M d"],
    O: Float[Tensor, "... N d"],
    L: Float[Tensor, "... N"],
    Br: int,
    Bc: int,
    causal: bool = False,
) -> tuple[Float[Tensor, "... N d"], Float[Tensor, "... M d"], Float[Tensor, "... M d"]]:
    """(dq, dk, dv): the gradients of attention, from dO = ∂loss/∂O and what the forward pass kept.

    The forward pass is O = softmax(q kᵀ / √d) v, as Day 29's ``flash2_forward`` returns it with L, the
    log-sum-exp of each row's scores. With ``causal``, query i sees the keys j <= i + (M − N). Rows that
    see nothing have O = 0 and L = −∞; they add nothing to any gradient. N and M need not be multiples
    of ``Br`` and ``Bc``, and may be smaller.

    Order of FlashAttention-2: outside over blocks of ``Bc`` keys, whose dk and dv are complete when the
    block ends; inside over blocks of ``Br`` queries, each adding to its rows of dq. What is asked of it:

    - No tensor made on the way has more than twice max(N·d, M·d, Br·Bc) numbers for each head: neither
      an N x M matrix nor a strip of it.
    - With ``causal``, tiles of which no pair is visible cost no matrix product; all others cost five.

    Any leading dimensions, the same for all. Sums are kept in float32 (float64 inputs: in float64);
    dq, dk and dv have the dtypes of q, k and v. The inputs are left unchanged.
    """
    N, M, scale = q.shape[-2], k.shape[-2], 1 / math.sqrt(q.shape[-1])
    delta = attention_delta(dO, O)
    wide = delta.dtype
    dq, dk, dv = (torch.zeros_like(x, dtype=wide) for x in (q, k, v))
    for j in range(0, M, Bc):
        keys = slice(j, j + Bc)
        kj, vj = k[..., keys, :].to(wide), v[..., keys, :].to(wide)
        first = max(0, j - (M - N)) // Br * Br if causal else 0  # block of the first query that sees key j
        for i in range(first, N, Br):
            rows = slice(i, i + Br)
            qi, dOi = q[..., rows, :].to(wide), dO[..., rows, :].to(wide)
            P = recompute_p(qi, kj, L[..., rows], i + M - N - j if causal else None)
            dv[..., keys, :] += P.mT @ dOi
            dS = P * (dOi @ vj.mT - delta[..., rows, None])
            dq[..., rows, :] += dS @ kj
            dk[..., keys, :] += dS.mT @ qi
    return (scale * dq).to(q.dtype), (scale * dk).to(k.dtype), dv.to(v.dtype)


def backward_flops(N: int, M: int, d: int, recompute: bool) -> int:
    """FLOPs of the matrix products in the backward pass of one head, without a mask.

    N queries, M keys, d numbers each; a product of (a x b) and (b x c) counts 2·a·b·c. With
    ``recompute`` the scores are computed again, without it P was stored. Returns an int.
    """
    return (10 if recompute else 8) * N * M * d


def kept_bytes(N: int, M: int, d: int, recompute: bool, itemsize: int = 2) -> int:
    """Bytes that one head keeps between forward and backward pass, beside q, k and v.

    Numbers have ``itemsize`` bytes, statistics are float32. With ``recompute``: O and L. Without: P,
    and nothing else (δ is then computed from P and dP). Returns an int.
    """
    return N * d * itemsize + 4 * N if recompute else N * M * itemsize


def backward_bytes_std(N: int, M: int, d: int, itemsize: int = 2) -> int:
    """Bytes that the standard backward pass of one head moves, with P stored.

    Five kernels, each of which reads its operands once from memory and writes its result there once:

    1. dV = Pᵀ dO      2. dP = dO Vᵀ      3. dS = P ∘ (dP − δ), with δ made from P and dP on the way
    4. dQ = dS K       5. dK = dSᵀ Q

    (algorithm 3 of arXiv 2205.14135, appendix B). Every number has ``itemsize`` bytes. Returns an int.
    """
    return itemsize * (7 * N * M + 4 * N * d + 4 * M * d)


def backward_bytes_flash(N: int, M: int, d: int, Bc: int, itemsize: int = 2) -> int:
    """Bytes that FlashAttention-2's backward pass of one head moves, without a mask and without caches.

    Numbers have ``itemsize`` bytes; L, δ and the running sum of dQ are float32.

    1. A first kernel reads O and dO once, writes δ, and clears the sum of dQ.
    2. For each block of ``Bc`` keys (the last may be smaller): K and V of the block are read once, its
       dK and dV written once. Meanwhile all of Q, dO, L and δ are read once, and every number of the sum
       of dQ is read once and written once, which is what an atomic addition does.
    3. A last kernel reads the sum of dQ and writes dQ.

    Returns an int.
    """
    blocks = -(-M // Bc)
    first = 2 * N * d * itemsize + 4 * N + 4 * N * d
    main = 4 * M * d * itemsize + blocks * (2 * N * d * itemsize + 8 * N + 8 * N * d)
    last = N * d * (4 + itemsize)
    return first + main + last


@triton.jit
def delta_kernel(
    o_ptr, do_ptr, delta_ptr, n_rows, stride_o_row, stride_do_row,
    HEAD_DIM: tl.constexpr, BLOCK_ROWS: tl.constexpr, BLOCK_DIM: tl.constexpr,
):
    """Program i computes δ of the rows i · BLOCK_ROWS to (i + 1) · BLOCK_ROWS − 1, of n_rows in all.

    Row r of O is the HEAD_DIM numbers from ``o_ptr + r * stride_o_row`` on, row r of dO those from
    ``do_ptr + r * stride_do_row`` on; the two strides may differ. δ_r = Σ_c dO_rc · O_rc goes to
    ``delta_ptr + r``. The last program may have rows left over; BLOCK_DIM, a power of two, is at least
    HEAD_DIM and may be larger. Offsets of rows are int64.

    O and dO are float16, bfloat16 or float32, δ is float32; products and sums are made in float32.
    Each number of O and dO is read once, with no more 32-byte sectors than they fill.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    dim = tl.arange(0, BLOCK_DIM)
    inside = (row < n_rows)[:, None] & (dim < HEAD_DIM)[None, :]
    o = tl.load(o_ptr + row[:, None] * stride_o_row + dim[None, :], mask=inside, other=0.0)
    do = tl.load(do_ptr + row[:, None] * stride_do_row + dim[None, :], mask=inside, other=0.0)
    delta = tl.sum(o.to(tl.float32) * do.to(tl.float32), axis=1)
    tl.store(delta_ptr + row, delta, mask=row < n_rows)


def order_quiz() -> dict[str, str]:
    """Your answers to the six questions above on the order and the grid of the backward pass.

    Returns a dict with the keys "q1" to "q6"; each value is "a", "b", "c" or "d".
    """
    return {"q1": "b", "q2": "c", "q3": "d", "q4": "a", "q5": "c", "q6": "b"}


def v1_blanks() -> dict[str, str]:
    """What stands in the eight gaps of the two listings above.

    Returns a dict with the keys "b1" to "b8"; each value is one letter of the list, "a" to "n". A letter
    may be used once, or not at all.
    """
    return {
        "b1": "g", "b2": "c", "b3": "k", "b4": "a",
        "b5": "m", "b6": "e", "b7": "i", "b8": "b",
    }


def v2_quiz() -> dict[str, str]:
    """Your answers to the eight questions above on what changed from V1 to V2.

    Returns a dict with the keys "q1" to "q8"; each value is "a", "b", "c" or "d".
    """
    return {
        "q1": "d", "q2": "a", "q3": "c", "q4": "b",
        "q5": "a", "q6": "d", "q7": "b", "q8": "c",
    }
