"""Day 1: Jacobians, vector-Jacobian products and the gradient of cross-entropy, in NumPy.

Follows Parr & Howard, "The Matrix Calculus You Need For Deep Learning" (arXiv 1802.01528),
whose layout it keeps: output indices before input indices. Leaves out the Hessian and
information theory (Day 15) and everything automatic (Days 2 and 3).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int


def jacobian_fd(
    f: Callable[[np.ndarray], np.ndarray | float],
    x: Float[np.ndarray, "..."] | Int[np.ndarray, "..."],
    eps: float = 1e-6,
) -> Float[np.ndarray, "..."]:
    """The Jacobian of ``f`` at ``x`` by central differences.

    ``f`` takes an array of ``x``'s shape and returns an array of any shape, or a number.
    The result J has shape ``np.shape(f(x)) + x.shape``: output indices first, then input
    indices. With e_j the array of ``x``'s shape that is 1 at index j and 0 elsewhere,

        J[..., j] = (f(x + eps·e_j) − f(x − eps·e_j)) / (2·eps).

    ``x`` may hold float32 numbers or integers; the differences are taken in float64, so
    ``f`` is called with float64 arrays, and J is float64. ``f`` may return its argument
    itself, as the identity ``lambda x: x`` does. ``x`` is left unchanged.
    """
    x = np.array(x, dtype=np.float64)
    J = np.empty(np.shape(f(x)) + x.shape)
    for j in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[j] = eps
        J[(..., *j)] = (np.asarray(f(x + step)) - f(x - step)) / (2 * eps)
    return J


def grad_fd(
    f: Callable[[np.ndarray], float],
    x: Float[np.ndarray, "..."] | Int[np.ndarray, "..."],
    eps: float = 1e-6,
) -> Float[np.ndarray, "..."]:
    """The gradient of a scalar function ``f`` at ``x`` by central differences.

    ``f`` takes an array of ``x``'s shape and returns one number. The result has ``x``'s
    shape, whatever that is: entry j is ∂f/∂x_j. In all else as ``jacobian_fd``: the same
    formula and ``eps``, float64 throughout, ``x`` left unchanged.
    """
    return jacobian_fd(f, x, eps)


def linear_jacobians(
    W: Float[np.ndarray, "m n"], X: Float[np.ndarray, "n B"], b: Float[np.ndarray, "m"]
) -> tuple[
    Float[np.ndarray, "m B n B"], Float[np.ndarray, "m B m n"], Float[np.ndarray, "m B m"]
]:
    """The three Jacobians of Y = W X + b, exact and in full.

    The B columns of ``X`` are the examples, and ``b`` is added to each column:
    Y[i, k] = Σ_j W[i, j] X[j, k] + b[i]. Output indices come first, then input indices:

        dY_dX[i, k, j, l] = ∂Y[i, k] / ∂X[j, l]    shape (m, B, n, B)
        dY_dW[i, k, p, q] = ∂Y[i, k] / ∂W[p, q]    shape (m, B, m, n)
        dY_db[i, k, p]    = ∂Y[i, k] / ∂b[p]       shape (m, B, m)

    Returns ``(dY_dX, dY_dW, dY_db)``.
    """
    m, B = len(W), X.shape[1]
    dY_dX = np.einsum("ij,kl->ikjl", W, np.eye(B))
    dY_dW = np.einsum("ip,qk->ikpq", np.eye(m), X)
    dY_db = np.einsum("ip,k->ikp", np.eye(m), np.ones(B))
    return dY_dX, dY_dW, dY_db


def linear_backward(
    dY: Float[np.ndarray, "m B"], W: Float[np.ndarray, "m n"], X: Float[np.ndarray, "n B"]
) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, "n B"], Float[np.ndarray, "m"]]:
    """Send the gradient of a scalar loss L back through Y = W X + b.

    ``dY`` is ∂L/∂Y. Returns ``(dW, dX, db)`` = (∂L/∂W, ∂L/∂X, ∂L/∂b), each of the shape of
    the array that it belongs to. X holds examples as columns, as in ``linear_jacobians``;
    L already says whether examples are summed or averaged, so nothing is divided here.
    No Jacobian is built: the memory used is of the order of the arguments' own.
    """
    dW = dY @ X.T
    dX = W.T @ dY
    db = dY.sum(axis=1)
    return dW, dX, db


def chain_vjp(
    fs: list[tuple[Callable, Callable]],
    x: Float[np.ndarray, "..."],
    g: Float[np.ndarray, "..."],
) -> Float[np.ndarray, "..."]:
    """The vector-Jacobian product gᵀ ∂y/∂x of a chain y = f_K(… f_2(f_1(x)) …).

    ``fs`` is the list [f_1, …, f_K], the layer applied first standing first. A layer is a
    pair of functions ``(forward, vjp)``: ``forward(u)`` is its output at its own input u,
    and ``vjp(u, g)`` is gᵀJ, of u's shape, where J is its Jacobian at that input u and g
    has the shape of its output. Layers may change the shape.

    ``g`` has the shape of y, the result that of ``x``. Each ``forward`` runs at most once
    and each ``vjp`` exactly once. An empty list is the identity: the result is ``g``.
    """
    inputs = []
    for forward, _ in fs:
        inputs.append(x)
        x = forward(x)
    for k in reversed(range(len(fs))):
        _, vjp = fs[k]
        g = vjp(inputs[k], g)
    return g


def softmax(z: Float[np.ndarray, "... n"]) -> Float[np.ndarray, "... n"]:
    """Softmax along the last axis: p_i = exp(z_i) / Σ_k exp(z_k).

    ``z`` is one vector of logits or a stack of them; each vector of the result sums to 1.
    The result is finite and right for all finite logits, 1000 and −1000 among them.
    ``z`` is left unchanged.
    """
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def softmax_derivation_steps(
    z: Float[np.ndarray, "n"], i: int, j: int
) -> dict[str, float]:
    """The steps from the definition of softmax to one entry of its Jacobian.

    Let e_k = exp(z_k), s = Σ_k e_k and p_k = e_k / s. Returns a dict of numbers, each
    valid for i = j and for i ≠ j:

        "de_i"        ∂e_i/∂z_j
        "ds"          ∂s/∂z_j
        "numerator"   the numerator of the quotient rule for ∂(e_i/s)/∂z_j, over s²
        "dp_i"        ∂p_i/∂z_j
        "dlog_p_i"    ∂(log p_i)/∂z_j

    The logits are moderate (|z_k| < 10), so nothing here overflows.
    """
    e = np.exp(z)
    s = e.sum()
    delta = float(i == j)
    de_i = delta * e[i]
    ds = e[j]
    numerator = de_i * s - e[i] * ds
    dp_i = numerator / s**2
    dlog_p_i = delta - e[j] / s
    return {
        "de_i": de_i, "ds": ds, "numerator": numerator, "dp_i": dp_i, "dlog_p_i": dlog_p_i,
    }


def softmax_jacobian(z: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n n"]:
    """The Jacobian of softmax at one vector of logits.

    J[i, j] = ∂p_i/∂z_j, where p is the softmax of ``z``: output index first. Exact, not by
    finite differences; finite and right for all finite logits.
    """
    p = softmax(z)
    return np.diag(p) - np.outer(p, p)


def softmax_vjp(
    z: Float[np.ndarray, "... n"], g: Float[np.ndarray, "... n"]
) -> Float[np.ndarray, "... n"]:
    """The vector-Jacobian product gᵀJ of softmax along the last axis, J never built.

    ``z`` holds one vector of logits or a stack of them, and ``g``, of the same shape, the
    gradient of a loss with respect to p, the softmax of ``z``. The result is the gradient
    with respect to ``z``: entry j of each vector is Σ_i g_i ∂p_i/∂z_j. Memory and time are
    of the order of the size of ``z``. Finite and right for all finite logits. ``z`` and
    ``g`` are left unchanged.
    """
    p = softmax(z)
    return p * (g - np.sum(p * g, axis=-1, keepdims=True))


def ce_derivation_steps(
    z: Float[np.ndarray, "n"], y: int
) -> dict[str, float | np.ndarray]:
    """The steps of both derivations of the cross-entropy gradient, for one example.

    p = softmax(z) and L = −log p_y, where y is the index of the right class. Returns a
    dict with, for the derivation through the probabilities,

        "loss"       L, a number
        "dL_dp"      ∂L/∂p, shape (n,), taking the entries of p as independent variables
        "dp_dz"      ∂p/∂z, shape (n, n), output index first

    for the derivation through the log-sum-exp, L = lse(z) − z_y,

        "lse"        lse(z) = log Σ_k exp(z_k), a number
        "dlse_dz"    ∂lse/∂z, shape (n,)
        "dz_y_dz"    ∂z_y/∂z, shape (n,)

    and where the two meet,

        "dL_dz"      ∂L/∂z, shape (n,)

    The logits are moderate (|z_k| < 10), so nothing here overflows.
    """
    p = softmax(z)
    one_hot = np.eye(len(z))[y]
    return {
        "loss": -np.log(p[y]),
        "dL_dp": -one_hot / p[y],
        "dp_dz": softmax_jacobian(z),
        "lse": np.log(np.sum(np.exp(z))),
        "dlse_dz": p,
        "dz_y_dz": one_hot,
        "dL_dz": p - one_hot,
    }


def ce_grad_logits(
    Z: Float[np.ndarray, "B C"], y: Int[np.ndarray, "B"]
) -> Float[np.ndarray, "B C"]:
    """The gradient with respect to the logits of the cross-entropy SUMMED over a batch.

    Row b of ``Z`` holds the C logits of example b, and ``y[b]`` in {0, …, C−1} is its
    class. The loss is L = −Σ_b log softmax(Z[b])[y[b]] (``reduction="sum"`` in PyTorch;
    its default, the mean, would have a further 1/B). Returns ∂L/∂Z, of ``Z``'s shape.
    Finite and right for all finite logits. ``Z`` and ``y`` are left unchanged.
    """
    P = softmax(Z)
    Y = np.eye(Z.shape[1])[y]
    return P - Y


def paper_quiz() -> dict[str, str]:
    """Your answers to the eight questions above, one letter each.

    Returns a dict with the keys "q1" to "q8"; each value is "a", "b", "c" or "d".
    """
    return {
        "q1": "c", "q2": "b", "q3": "d", "q4": "b",
        "q5": "a", "q6": "d", "q7": "c", "q8": "a",
    }
