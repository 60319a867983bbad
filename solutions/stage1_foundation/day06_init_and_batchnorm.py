"""Day 6: initial weights that keep variances, and batch normalisation on Day 3's Tensor.

Follows Glorot & Bengio (AISTATS 2010, section 4.2), He et al. (arXiv 1502.01852, section 2.2) and
Ioffe & Szegedy (arXiv 1502.03167, section 3), with PyTorch's running statistics. Leaves out
BatchNorm for images (one mean for each channel), LayerNorm (Day 12) and residual networks.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from .day03_tensor_autograd import Tensor
from .day04_layers_and_sgd import SGD, Linear, ReLU, Sequential, cross_entropy


def variance_steps(
    fan_in: int, fan_out: int, var_w: float, mean_x: float, var_x: float, var_g: float
) -> dict[str, float]:
    """The steps from one product to the variances that Xavier and Kaiming initialisation choose.

    A linear layer: z_j = Σ_i x_i w_ij with i = 1..``fan_in`` and j = 1..``fan_out``. The weights are
    independent with mean 0 and variance ``var_w``; the inputs are independent of the weights, each
    with mean ``mean_x`` and variance ``var_x``; the gradients g_j = ∂L/∂z_j are independent of the
    weights, with mean 0 and variance ``var_g``. Returns a dict of numbers:

        "wx"          Var(x_i w_ij)
        "z"           Var(z_j)
        "dx"          Var(∂L/∂x_i)
        "relu_mean"   E[relu(z_j)], taking z_j as normal with mean 0 and the variance above
        "relu_square" E[relu(z_j)²], likewise
        "relu_var"    Var(relu(z_j)), likewise
        "forward"     the var_w for which Var(z_j) = E[x_i²]
        "backward"    the var_w for which Var(∂L/∂x_i) = Var(g_j)
        "xavier"      the var_w whose inverse is the mean of the inverses of these two
        "kaiming"     the var_w for which E[relu(z_j)²] = E[x_i²]
    """
    wx = var_w * (var_x + mean_x**2)
    z = fan_in * wx
    relu_mean = np.sqrt(z / (2 * np.pi))
    return {
        "wx": wx,
        "z": z,
        "dx": fan_out * var_w * var_g,
        "relu_mean": relu_mean,
        "relu_square": z / 2,
        "relu_var": z / 2 - relu_mean**2,
        "forward": 1 / fan_in,
        "backward": 1 / fan_out,
        "xavier": 2 / (fan_in + fan_out),
        "kaiming": 2 / fan_in,
    }


def xavier_std(fan_in: int, fan_out: int) -> float:
    """The standard deviation of the weights of a (fan_in, fan_out) layer by Glorot & Bengio.

    It is that of their equation 12, Var(w) = 2 / (fan_in + fan_out).
    """
    return float(np.sqrt(2 / (fan_in + fan_out)))


def kaiming_std(fan_in: int, nonlin: str = "relu") -> float:
    """The standard deviation of the weights in front of ``nonlin``: gain / sqrt(fan_in).

    ``nonlin`` is "linear" (gain 1), "relu", "leaky_relu" (slope 0.01 for negative inputs) or "tanh"
    (gain 5/3, a convention of PyTorch's). For "relu" and "leaky_relu" the gain is that of He et al.
    (arXiv 1502.01852, equations 10 and 15), for which E[nonlin(z)²] = E[x²], with x the layer's
    inputs and z symmetric about 0. Raises ValueError for any other ``nonlin``.
    """
    gains = {"linear": 1, "relu": np.sqrt(2), "leaky_relu": np.sqrt(2 / (1 + 0.01**2)),
             "tanh": 5 / 3}
    if nonlin not in gains:
        raise ValueError(f"nonlin {nonlin!r} is not one of {', '.join(gains)}")
    return float(gains[nonlin] / np.sqrt(fan_in))


def variance_sweep(
    weights: Sequence[Float[np.ndarray, "n_in n_out"]],
    x: Float[np.ndarray, "B n"],
    g: Float[np.ndarray, "B n_last"],
    nonlin: Callable[[Tensor], Tensor],
) -> tuple[list[float], list[float]]:
    """The variances of activations and gradients through a deep stack of layers.

    h_0 = ``x``, z_l = h_{l-1} W_l and h_l = nonlin(z_l) for the L arrays W_1, …, W_L in ``weights``;
    ``nonlin`` takes a Tensor and returns a Tensor of the same shape (``Tensor.tanh``, ``ReLU()``; for
    ``lambda z: z`` it is its argument itself). ``g`` is ∂L/∂h_L. Returns ``(forward, backward)``,
    two lists of L floats, layer 1 first: the variance over all entries of h_l, and that of all
    entries of ∂L/∂z_l. The arguments are left unchanged.
    """
    h = Tensor(x)
    zs, hs = [], []
    for W in weights:
        z = h @ W
        h = nonlin(z)
        zs.append(z)
        hs.append(h)
    h.backward(g)
    return [float(h.data.var()) for h in hs], [float(z.grad.var()) for z in zs]


class BatchNorm1d:
    """Batch normalisation of ``features`` columns (Ioffe & Szegedy, arXiv 1502.03167, algorithm 1).

    Every column of a batch is normalised on its own, then scaled by ``gamma`` and shifted by
    ``beta``. The fields:

    - ``gamma``, ``beta``: Tensors of shape (features,), ones and zeros at first; learned;
    - ``running_mean``, ``running_var``: arrays of shape (features,), zeros and ones at first; they
      follow the statistics of the batches while training, and are used instead of them afterwards;
    - ``eps``: added to every variance before its square root is taken;
    - ``momentum``: the weight of the newest batch in the running statistics;
    - ``training``: True at first; set it to False for evaluation.
    """

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1):
        self.gamma = Tensor(np.ones(features))
        self.beta = Tensor(np.zeros(features))
        self.running_mean = np.zeros(features)
        self.running_var = np.ones(features)
        self.eps = eps
        self.momentum = momentum
        self.training = True

    def forward(self, x: Float[np.ndarray, "B F"]) -> tuple[Float[np.ndarray, "B F"], tuple]:
        """``(y, cache)`` for an array ``x``: y = gamma x̂ + beta, x̂ = (x − mean) / sqrt(var + eps).

        In training mode, mean and var are those of each column of this batch, var being the biased
        one (the mean of the squared deviations, so divided by B). The running statistics move:

            running ← (1 − momentum) · running + momentum · (the batch's)

        with the mean for ``running_mean``, and for ``running_var`` the *unbiased* variance (divided
        by B − 1), as in PyTorch. Raises ValueError if B < 2.

        In evaluation mode, mean and var are ``running_mean`` and ``running_var``; no field changes
        and B may be 1.

        Right also for columns whose mean is a million times their standard deviation. ``cache`` is
        whatever ``backward`` will need of this call; it stays valid when ``forward`` is called
        again. ``x`` is left unchanged.
        """
        if self.training:
            B = len(x)
            if B < 2:
                raise ValueError(f"a batch of {B} has no variance to normalise with")
            mean, var = x.mean(axis=0), x.var(axis=0)
            keep = 1 - self.momentum
            self.running_mean = keep * self.running_mean + self.momentum * mean
            self.running_var = keep * self.running_var + self.momentum * var * B / (B - 1)
        else:
            mean, var = self.running_mean, self.running_var
        inv_std = 1 / np.sqrt(var + self.eps)
        xhat = (x - mean) * inv_std
        return self.gamma.data * xhat + self.beta.data, (xhat, inv_std, self.training)

    def backward(
        self, dy: Float[np.ndarray, "B F"], cache: tuple
    ) -> tuple[Float[np.ndarray, "B F"], Float[np.ndarray, "F"], Float[np.ndarray, "F"]]:
        """``(dx, dgamma, dbeta)``: a loss's gradients, given ``dy`` = ∂L/∂y.

        ``cache`` is what ``forward`` returned with y; whether that call was in training mode counts,
        not the mode now. There, mean and var are functions of x, and dx takes this into account; in
        evaluation mode they are constants. Adds nothing to the ``grad`` of ``gamma`` and ``beta``.
        ``dy`` is left unchanged, and the same ``cache`` can be used again.
        """
        xhat, inv_std, training = cache
        dgamma, dbeta = bn_dgamma_dbeta(dy, xhat)
        if training:
            dy = dy - (dbeta + xhat * dgamma) / len(dy)
        return self.gamma.data * inv_std * dy, dgamma, dbeta

    def __call__(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        """``forward`` as one operation of the engine, with operands ``(x, gamma, beta)``.

        The ``_backward`` of the result adds to their ``grad`` what ``backward`` returns for this
        call, also if the layer has been called again in between.
        """
        y, cache = self.forward(x.data)

        def backward(grad):
            dx, dgamma, dbeta = self.backward(grad, cache)
            x.accumulate(dx)
            self.gamma.accumulate(dgamma)
            self.beta.accumulate(dbeta)

        return Tensor(y, _prev=(x, self.gamma, self.beta), _backward=backward)

    def parameters(self) -> list[Tensor]:
        """``[gamma, beta]``, these Tensors themselves."""
        return [self.gamma, self.beta]


def bn_dgamma_dbeta(
    dy: Float[np.ndarray, "B F"], xhat: Float[np.ndarray, "B F"]
) -> tuple[Float[np.ndarray, "F"], Float[np.ndarray, "F"]]:
    """``(dgamma, dbeta)`` = (∂L/∂gamma, ∂L/∂beta) for y = gamma · xhat + beta.

    ``dy`` is ∂L/∂y; gamma and beta have one entry for each of the F columns. The arguments are left
    unchanged.
    """
    return (dy * xhat).sum(axis=0), dy.sum(axis=0)


def bn_mlp(sizes: Sequence[int], batchnorm: bool, rng: np.random.Generator) -> Sequential:
    """A multi-layer perceptron, with BatchNorm or without.

    A Linear for each pair of neighbours in ``sizes``, drawn one after the other from ``rng``; behind
    every Linear but the last, first a BatchNorm1d (only if ``batchnorm``), then a ReLU. So equal
    generators give equal Linears, with BatchNorm or without.
    """
    layers = [Linear(sizes[0], sizes[1], rng)]
    for i, o in pairwise(sizes[1:]):
        if batchnorm:
            layers.append(BatchNorm1d(i))
        layers += [ReLU(), Linear(i, o, rng)]
    return Sequential(*layers)


def set_training(model: Callable[[Tensor], Tensor], training: bool) -> None:
    """Set ``training`` of ``model`` and of all layers in it."""
    model.training = training
    for layer in getattr(model, "layers", []):
        set_training(layer, training)


def bn_ablation(
    seed: int,
    make: Callable[[bool, np.random.Generator], Sequential],
    X: Float[np.ndarray, "N D"],
    y: Int[np.ndarray, "N"],
    steps: int = 400,
    lr: float = 0.1,
    batch_size: int = 64,
) -> dict[str, list[float]]:
    """Loss curves of the same training with and without BatchNorm: {"plain": …, "batchnorm": …}.

    ``make(batchnorm, rng)`` gives a model, and nothing but BatchNorm differs between the two runs:

    - "plain" trains ``make(False, rng)``, "batchnorm" ``make(True, rng)``, each with a new
      ``np.random.default_rng(seed)``, so that they start from the same weights;
    - both see the same batches: in every step, one call of ``integers`` of a generator gives the
      ``batch_size`` indices (below N) of its examples; the generator is a new one for each run,
      with the list of the two numbers ``seed`` and 1 as its seed;
    - both use SGD at ``lr`` without momentum on the mean cross-entropy of the batch.

    Each curve holds ``steps`` floats: the loss of each step's batch, before the step. ``X`` and ``y``
    are left unchanged.
    """
    curves = {}
    for name, batchnorm in (("plain", False), ("batchnorm", True)):
        model = make(batchnorm, np.random.default_rng(seed))
        optimiser = SGD(model.parameters(), lr)
        rng = np.random.default_rng([seed, 1])
        curves[name] = []
        for _ in range(steps):
            batch = rng.integers(len(X), size=batch_size)
            loss = cross_entropy(model(Tensor(X[batch], requires_grad=False)), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            curves[name].append(loss.item())
    return curves


def steps_to_target(losses: Sequence[float], target: float, window: int = 20) -> int | None:
    """After how many steps the loss is down to ``target``.

    The loss of a batch jumps, so the mean of ``window`` losses in a row counts: the result is the
    smallest number of steps t ≥ ``window`` for which the mean of the last ``window`` of the first t
    losses is ≤ ``target``; None if there is none. A mean over losses among which is an inf or a nan
    is never ≤ ``target``; later ones without them may be.
    """
    for t in range(window, len(losses) + 1):
        if np.mean(losses[t - window:t]) <= target:
            return t
    return None
