"""Day 29: exact attention tile by tile: what it moves, the running softmax, and two loop orders.

Follows Dao et al., "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness"
(arXiv 2205.14135), Algorithm 1 and section 3, and Dao, "FlashAttention-2: Faster Attention with
Better Parallelism and Work Partitioning" (arXiv 2307.08691), Algorithm 1 and section 3.1. Leaves out
the backward pass (Day 32), dropout, block-sparse attention, and everything that only a GPU can show:
a block is a slice of a tensor here (the Triton kernel is Day 105).
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def hbm_bytes_std(N: int, d: int, itemsize: int = 2) -> int:
    """Bytes that standard attention (Algorithm 0 of arXiv 2205.14135) moves to and from HBM.

    One head, N queries and N keys of d numbers, ``itemsize`` bytes a number. Three kernels, each of
    which reads its operands from HBM in full, once, and writes its result there:

    1. S = QKᵀ;    2. P = softmax(S);    3. O = PV.

    Q, K, V, O are (N, d); S, P are (N, N). Returns reads and writes together, an int.
    """
    return (4 * N * d + 4 * N * N) * itemsize


def hbm_bytes_flash(N: int, d: int, M: int, itemsize: int = 2) -> int:
    """Bytes that FlashAttention (Algorithm 1 of arXiv 2205.14135) moves to and from HBM.

    One head, N queries and N keys of d numbers. ``M`` is the on-chip memory in BYTES; every number
    takes ``itemsize`` bytes, those of l and m too. A block of keys has (line 1)

        B_c = ⌈M / (4·d·itemsize)⌉ rows, so that there are T_c = ⌈N / B_c⌉ blocks of keys.

    The last block may be shorter. What moves:

    - line 2: O (N, d), l (N) and m (N) are written once, as zeros and −∞;
    - line 6: K and V (N, d) are read once;
    - line 8, for each block of keys: all rows of Q, O, l and m are read;
    - lines 12 and 13, for each block of keys: all rows of O, l and m are written.

    Returns reads and writes together, an int. Raises ValueError if M holds fewer than d numbers
    (Theorem 2 asks for d <= M in numbers).
    """
    if d * itemsize > M:
        raise ValueError(f"{M} bytes on chip, fewer than one row of {d} numbers takes")
    Bc = -(-M // (4 * d * itemsize))
    Tc = -(-N // Bc)
    once = N * (d + 2) + 2 * N * d
    each = N * (2 * d + 2) + N * (d + 2)
    return (once + Tc * each) * itemsize


def online_softmax_blocks(
    x: Float[Tensor, "... N"], B: int
) -> tuple[Float[Tensor, "... N"], Float[Tensor, "... T"], Float[Tensor, "... T"]]:
    """The softmax over the last axis, met in blocks of ``B`` numbers: ``(p, m, l)``.

    There are T = ⌈N / B⌉ blocks, the last one perhaps shorter. For t = 0, ..., T − 1,

        m[..., t] = the largest of the numbers in the blocks 0 to t,
        l[..., t] = Σ exp(x_s − m[..., t])   over the numbers x_s in the blocks 0 to t

    (arXiv 2205.14135, section 3.1, "Tiling"), and p = softmax(x) has the shape of ``x``.

    Entries may be −∞: they count as masked, exp(−∞) = 0. While only such entries have been met,
    m = −∞ and l = 0; a row of nothing else has p = 0. No result is NaN, and numbers of any size give
    finite p and l. N, B >= 1; the dtype is that of ``x``, which is left unchanged.
    """
    top = x.new_full(x.shape[:-1], -torch.inf)
    total = torch.zeros_like(top)
    tops, totals = [], []
    for block in x.split(B, dim=-1):
        new = torch.maximum(top, block.amax(-1))
        base = new.clamp_min(torch.finfo(x.dtype).min)
        total = total * torch.exp(top - base) + torch.exp(block - base[..., None]).sum(-1)
        top = new
        tops.append(top)
        totals.append(total)
    p = torch.exp(x - base[..., None]) / total.clamp_min(1)[..., None]
    return p, torch.stack(tops, -1), torch.stack(totals, -1)


def causal_tiles(N: int, M: int, Br: int, Bc: int) -> Int[Tensor, "Tr Tc"]:
    """What the causal mask leaves of each tile of the (N, M) scores: 0 skipped, 1 partial, 2 full.

    Query i sees the keys j <= i + (M − N): the last query sees all keys ("bottom-right" alignment).
    Query block a holds the queries a·Br to (a + 1)·Br − 1 as far as they exist (< N), key block b the
    keys b·Bc to (b + 1)·Bc − 1 as far as they exist (< M). The result has the shape
    (⌈N / Br⌉, ⌈M / Bc⌉) and the dtype int64; its entry [a, b] is

    - 0 if no query of block a sees any key of block b: there is nothing to compute;
    - 2 if every query of block a sees every key of block b: no mask is needed;
    - 1 otherwise.

    N < M (a few new queries after a cache) and N > M (the first queries see nothing) are both
    allowed; N, M, Br, Bc >= 1. No (N, M) matrix is made.
    """
    first_query, first_key = torch.arange(0, N, Br)[:, None], torch.arange(0, M, Bc)
    last_query = (first_query + Br).clamp_max(N) - 1
    last_key = (first_key + Bc).clamp_max(M) - 1
    some = first_key <= last_query + M - N
    every = last_key <= first_query + M - N
    return some.long() + every.long()


def tile_mask(a: int, b: int, N: int, M: int, Br: int, Bc: int) -> Bool[Tensor, "rows cols"]:
    """Which keys of key block b each query of query block a sees, with the names of ``causal_tiles``.

    A bool tensor, True where the query sees the key. It has one row for each query of the block and
    one column for each key of the block that exists: (Br, Bc), less at the ragged ends.
    """
    queries = torch.arange(a * Br, min((a + 1) * Br, N))[:, None]
    keys = torch.arange(b * Bc, min((b + 1) * Bc, M))
    return keys <= queries + M - N


def flash_forward(
    q: Float[Tensor, "... N d"],
    k: Float[Tensor, "... M d"],
    v: Float[Tensor, "... M d"],
    Br: int,
    Bc: int,
    causal: bool = False,
) -> tuple[Float[Tensor, "... N d"], Float[Tensor, "... N"]]:
    """Attention by Algorithm 1 of arXiv 2205.14135: ``(O, L)``.

    With the scores S = QKᵀ / √d,

        O = softmax(S) V,      L[..., i] = log Σ_j exp(S[..., i, j]).

    causal=True lets query i see only the keys j <= i + (M − N). A query that sees no key gets O = 0
    and L = −∞. ``q``, ``k``, ``v`` have the same leading axes (none, or several), are float32 or
    float64, and are left unchanged; O and L have the dtype of ``q``. Any N, M, Br, Bc >= 1 will do: the
    last blocks may be shorter. Scores of any size give finite results. Autograd is not needed.

    How it is computed counts too; the check looks on:

    - the outer loop runs over the key blocks: while a block of K and V is in use it meets every query
      block, and then it never comes back;
    - O and the running statistics of all queries are updated at every tile, so that O is the
      attention over the keys met so far after each pass;
    - scores exist only tile by tile. No tensor made on the way has more numbers than twice those of
      the larger of ``q`` and ``k``, or Br·Bc·d for each head if that is more;
    - a tile takes two of torch's matrix products (``@``, matmul, einsum ...), one for its scores and
      one for its part of O; tiles that ``causal`` leaves nothing of are not computed.
    """
    N, M, scale = q.shape[-2], k.shape[-2], 1 / math.sqrt(q.shape[-1])
    lowest = torch.finfo(q.dtype).min
    O, l = torch.zeros_like(q), q.new_zeros(q.shape[:-1])
    m = torch.full_like(l, lowest)
    tiles = causal_tiles(N, M, Br, Bc).tolist()
    for b, (Kb, Vb) in enumerate(zip(k.split(Bc, -2), v.split(Bc, -2), strict=True)):
        for a, Qa in enumerate(q.split(Br, -2)):
            if causal and tiles[a][b] == 0:
                continue
            rows = slice(a * Br, (a + 1) * Br)
            S = Qa @ Kb.mT * scale                                             # (..., rows, cols)
            if causal and tiles[a][b] == 1:
                S = S.masked_fill(~tile_mask(a, b, N, M, Br, Bc), -torch.inf)
            tile_m = S.amax(-1).clamp_min(lowest)
            P = torch.exp(S - tile_m[..., None])
            new_m = torch.maximum(m[..., rows], tile_m)
            old = torch.exp(m[..., rows] - new_m) * l[..., rows]
            new = torch.exp(tile_m - new_m)
            new_l = old + new * P.sum(-1)
            mixed = old[..., None] * O[..., rows, :] + new[..., None] * (P @ Vb)
            O[..., rows, :] = mixed / new_l.clamp_min(1)[..., None]
            m[..., rows], l[..., rows] = new_m, new_l
    return O, m + torch.log(l)


def flash2_forward(
    q: Float[Tensor, "... N d"],
    k: Float[Tensor, "... M d"],
    v: Float[Tensor, "... M d"],
    Br: int,
    Bc: int,
    causal: bool = False,
) -> tuple[Float[Tensor, "... N d"], Float[Tensor, "... N"]]:
    """Attention by Algorithm 1 of arXiv 2307.08691: ``(O, L)``.

    Arguments and results are those of ``flash_forward``, with the same edge cases: L = −∞ and O = 0
    for a query that sees no key, any block sizes, any size of scores. What differs is the way:

    - the outer loop runs over the query blocks: a block of Q meets all key blocks that it sees, and
      then it never comes back;
    - the running O is not normalised: it is divided by the running sum once for each query block,
      after the last key block (section 3.1);
    - as before, scores exist only tile by tile (the same limit on the size of tensors), a tile takes
      two of torch's matrix products, and tiles that ``causal`` leaves nothing of are not computed.
    """
    N, M, scale = q.shape[-2], k.shape[-2], 1 / math.sqrt(q.shape[-1])
    tiles = causal_tiles(N, M, Br, Bc).tolist()
    outputs, sums = [], []
    for a, Qa in enumerate(q.split(Br, -2)):
        O, l = torch.zeros_like(Qa), Qa.new_zeros(Qa.shape[:-1])
        m = torch.full_like(l, torch.finfo(q.dtype).min)
        for b, (Kb, Vb) in enumerate(zip(k.split(Bc, -2), v.split(Bc, -2), strict=True)):
            if causal and tiles[a][b] == 0:
                continue
            S = Qa @ Kb.mT * scale                                             # (..., rows, cols)
            if causal and tiles[a][b] == 1:
                S = S.masked_fill(~tile_mask(a, b, N, M, Br, Bc), -torch.inf)
            new_m = torch.maximum(m, S.amax(-1))
            P, shrink = torch.exp(S - new_m[..., None]), torch.exp(m - new_m)
            l = shrink * l + P.sum(-1)
            O = shrink[..., None] * O + P @ Vb
            m = new_m
        outputs.append(O / l.clamp_min(1)[..., None])
        sums.append(m + torch.log(l))
    return torch.cat(outputs, -2), torch.cat(sums, -1)


def flash_quiz() -> dict[str, str]:
    """Your answers to the six questions above, one letter each.

    Returns a dict with the keys "q1" to "q6"; each value is "a", "b", "c" or "d".
    """
    return {"q1": "b", "q2": "d", "q3": "a", "q4": "c", "q5": "b", "q6": "d"}
