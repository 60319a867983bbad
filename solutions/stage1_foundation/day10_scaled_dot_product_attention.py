"""Day 10: scaled dot-product attention, from a soft dictionary to self-attention, in PyTorch.

Follows Vaswani et al., "Attention Is All You Need" (arXiv 1706.03762), sections 3.2.1 and 4, and
adds what the paper leaves out: rows with nothing to attend to, and a report on attention
weights. Leaves out several heads and the causal mask (Day 11), dropout on the weights, and
gradients by hand (Day 16): PyTorch's autograd does those here.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def safe_softmax(
    x: Float[Tensor, "... n"], mask: Bool[Tensor, "..."] | None = None
) -> Float[Tensor, "... n"]:
    """Softmax over the last dimension, among the entries that ``mask`` allows.

    ``mask`` is a bool tensor that broadcasts to the shape of ``x``; True means that the entry
    takes part. ``None`` allows all entries. With M the allowed entries of a row,

        p_i = exp(x_i) / Σ_{j in M} exp(x_j)   for i in M,      p_i = 0   for all other i.

    A row with no allowed entry is all zeros. The result has the shape and dtype of ``x``, and
    is right for all finite ``x``, near 1000 and −1000 too. Entries that are not allowed have
    no influence, however large they are.

    Gradients flow through to ``x`` and are right and finite everywhere; for a row with no
    allowed entry they are zeros. ``x`` and ``mask`` are left unchanged.

    Write it with elementary operations: no ready-made softmax or log_softmax, no torch.nn.
    """
    if mask is not None:
        x = x.masked_fill(~mask, -torch.inf)
    largest = x.amax(dim=-1, keepdim=True)
    e = torch.exp(x - largest.masked_fill(largest == -torch.inf, 0))
    total = e.sum(dim=-1, keepdim=True)
    return e / total.masked_fill(total == 0, 1)


def check_attention(A: Float[Tensor, "... m n"]) -> dict[str, bool | int | float | None]:
    """A report on attention weights: are they weights at all, and are they any use?

    The last dimension of ``A`` is a row: the weights that one query gives to n keys. Returns a
    dict with plain Python values:

        "finite"     bool: there is no NaN and no infinity in ``A``
        "valid"      bool: finite, no entry is negative, and each row adds up to 1 within
                     0.001 or holds nothing but zeros
        "empty"      int: the number of rows that hold nothing but zeros
        "saturated"  int: the number of rows with an entry above 0.99
        "entropy"    float: the mean over the rows that are not empty of −Σ_j a_j log a_j, in
                     nats, where 0 log 0 counts as 0; None if ``A`` is not valid or if all of
                     its rows are empty

    It never raises, whatever floating-point numbers ``A`` holds.
    """
    empty = (A == 0).all(dim=-1)
    one = (A.sum(dim=-1) - 1).abs() <= 1e-3
    finite = bool(A.isfinite().all())
    valid = finite and bool((A >= 0).all()) and bool((one | empty).all())
    entropies = -torch.xlogy(A, A).sum(dim=-1)[~empty]
    return {
        "finite": finite,
        "valid": valid,
        "empty": int(empty.sum()),
        "saturated": int((A > 0.99).any(dim=-1).sum()),
        "entropy": float(entropies.mean()) if valid and len(entropies) else None,
    }


def soft_lookup(
    q: Float[Tensor, "... d"], K: Float[Tensor, "n d"], V: Float[Tensor, "n v"], temp: float
) -> Float[Tensor, "... v"]:
    """Look ``q`` up in a dictionary whose n keys are the rows of ``K``, values the rows of ``V``.

    Every entry answers, weighted by how well its key fits:

        Σ_j w_j V[j],    w = softmax over j of (q · K[j]) / temp.

    ``q`` is one query or a stack of them; each gets its own answer. ``temp`` is a positive
    number: near 0 the best fit answers alone, and for large ``temp`` the answer is the mean of
    all values. Raises ``ValueError`` if ``temp`` is not positive.
    """
    if temp <= 0:
        raise ValueError(f"temp must be positive, not {temp}")
    return safe_softmax(q @ K.T / temp) @ V


def dot_variance_steps(
    d: int, mean_q: float, var_q: float, mean_k: float, var_k: float
) -> dict[str, float]:
    """The steps from the variance of one component to that of the scaled dot product.

    q and k have ``d`` components each. All 2d components are independent; those of q have mean
    ``mean_q`` and variance ``var_q``, those of k mean ``mean_k`` and variance ``var_k``.
    Returns a dict of exact numbers (nothing is drawn at random):

        "mean_product"    E[q_i k_i]
        "square_product"  E[(q_i k_i)²]
        "var_product"     Var[q_i k_i]
        "mean_dot"        E[q · k]
        "var_dot"         Var[q · k]
        "var_scaled"      Var[q · k / √d]
    """
    mean_product = mean_q * mean_k
    square_product = (var_q + mean_q**2) * (var_k + mean_k**2)
    var_product = square_product - mean_product**2
    return {
        "mean_product": mean_product,
        "square_product": square_product,
        "var_product": var_product,
        "mean_dot": d * mean_product,
        "var_dot": d * var_product,
        "var_scaled": var_product,
    }


def dot_variance(d: int, n: int, seed: int) -> tuple[float, float]:
    """Measure the variance of dot products, unscaled and scaled.

    Draws ``n`` independent pairs (q, k) of vectors with ``d`` independent standard normal
    components each. Returns two Python floats: the variance over the n pairs of q · k, and
    that of q · k / √d. (Dividing by n or by n − 1 is both accepted: n is large.) The same
    ``seed`` gives the same numbers, another one gives others.
    """
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, n, d, generator=generator)
    dots = (q * k).sum(dim=-1)
    return float(dots.var()), float((dots / math.sqrt(d)).var())


def sdpa(
    q: Float[Tensor, "... Tq dk"],
    k: Float[Tensor, "... Tk dk"],
    v: Float[Tensor, "... Tk dv"],
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "... Tq dv"]:
    """Scaled dot-product attention, equation 1 of arXiv 1706.03762:

        Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V

    Row t of ``q`` is the query at position t, rows of ``k`` and ``v`` with the same index are
    a key and its value. The leading dimensions, of any number, hold independent examples (or
    heads); those of ``q``, ``k`` and ``v`` broadcast against each other.

    ``mask`` is a bool tensor that broadcasts to (..., Tq, Tk): True at [..., t, s] means that
    query t may attend to key s. As in ``safe_softmax``: a query that may attend to nothing
    gets zeros, and all gradients are finite. The dtype is that of ``q``. The arguments are left
    unchanged.

    Write it with tensor operations: no torch.nn, no ready-made softmax or attention.
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(k.shape[-1])
    return safe_softmax(scores, mask) @ v


def self_attention(
    x: Float[Tensor, "B T d"],
    Wq: Float[Tensor, "d dk"],
    Wk: Float[Tensor, "d dk"],
    Wv: Float[Tensor, "d dv"],
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "B T dv"]:
    """Self-attention: queries, keys and values are three linear maps of one sequence.

    ``x`` holds B sequences of T tokens, each a vector of size d. A token times ``Wq`` is its
    query, times ``Wk`` its key, times ``Wv`` its value (no biases). Each token's query attends
    to the keys of its own sequence by scaled dot-product attention, as in ``sdpa``.

    ``mask`` broadcasts to (B, T, T): True at [b, t, s] means that token t may attend to token
    s. Write it with tensor operations: no torch.nn, no ready-made softmax or attention.
    """
    return sdpa(x @ Wq, x @ Wk, x @ Wv, mask)


def paper_quiz() -> dict[str, str]:
    """Your answers to the six questions above, one letter each.

    Returns a dict with the keys "q1" to "q6"; each value is "a", "b", "c" or "d".
    """
    return {"q1": "b", "q2": "d", "q3": "a", "q4": "c", "q5": "d", "q6": "b"}
