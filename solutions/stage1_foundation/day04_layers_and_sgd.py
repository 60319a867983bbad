"""Day 4: layers, cross-entropy, SGD with momentum, and two trainings on Day 3's Tensor.

Layers are plain objects: callable, with ``parameters()``. Initialisation follows He et al., "Delving
Deep into Rectifiers" (arXiv 1502.01852, section 2.2), momentum follows Sutskever et al. (ICML 2013)
in the form PyTorch uses. Leaves out convolution (Day 5), BatchNorm (Day 6), adaptive optimisers
(Day 46) and regularisation (Day 47).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, UInt8

from ladder.training import Training

from .day03_tensor_autograd import Tensor


class Linear:
    """A fully connected layer, y = x W + b, with ``i`` inputs and ``o`` outputs.

    ``weight`` is a Tensor of shape (i, o) and ``bias`` one of shape (o,); both are leaves that
    require a gradient.
    """

    def __init__(self, i: int, o: int, rng: np.random.Generator | None = None):
        """Sets ``weight`` and ``bias``.

        Every weight is drawn independently and uniformly from [-sqrt(6/i), sqrt(6/i)], which has the
        variance 2/i of He et al. (arXiv 1502.01852, section 2.2); every bias uniformly from
        [-1/sqrt(i), 1/sqrt(i)]. All are drawn from ``rng``, so that an equal generator gives equal
        parameters; without it, from ``np.random.default_rng()``.
        """
        rng = np.random.default_rng() if rng is None else rng
        bound = np.sqrt(6 / i)
        self.weight = Tensor(rng.uniform(-bound, bound, size=(i, o)))
        self.bias = Tensor(rng.uniform(-1, 1, size=o) / np.sqrt(i))

    def __call__(self, x: Tensor) -> Tensor:
        """``x W + b`` for a Tensor ``x`` of shape (..., i): a Tensor of shape (..., o).

        Uses ``weight`` and ``bias`` as they are at the time of the call.
        """
        return x @ self.weight + self.bias

    def parameters(self) -> list[Tensor]:
        """``[weight, bias]``, these Tensors themselves."""
        return [self.weight, self.bias]


def relu(z: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """max(0, z) for every entry of an array; ``z`` is left unchanged."""
    return np.maximum(z, 0)


def relu_grad(z: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The derivative of ``relu`` at every entry of ``z``: 1.0 where z > 0, else 0.0.

    At z = 0, where there is none, it is 0 by convention. ``z`` is left unchanged.
    """
    return (z > 0).astype(float)


class ReLU:
    """The activation max(0, x) as a layer without parameters."""

    def __call__(self, x: Tensor) -> Tensor:
        """``relu`` of every entry of the Tensor ``x``, as a Tensor; its derivative is ``relu_grad``.

        ``x`` itself is left unchanged.
        """
        def backward(grad):
            x.accumulate(grad * relu_grad(x.data))

        return Tensor(relu(x.data), _prev=(x,), _backward=backward)

    def parameters(self) -> list[Tensor]:
        """An empty list."""
        return []


class Sequential:
    """Layers applied one after the other; again a layer. ``layers`` holds them, first one first."""

    def __init__(self, *layers: Callable[[Tensor], Tensor]):
        """Sets ``self.layers``, a list of the layers themselves, which may be Sequentials too."""
        self.layers = list(layers)

    def __call__(self, x: Tensor) -> Tensor:
        """The last layer's output, each layer fed with the one before and the first with ``x``.

        Without layers, ``x`` itself.
        """
        for layer in self.layers:
            x = layer(x)
        return x

    def parameters(self) -> list[Tensor]:
        """One flat list: the first layer's parameters in its order, then the second's, and so on."""
        return [p for layer in self.layers for p in layer.parameters()]


class MLP(Sequential):
    """A multi-layer perceptron: Linear, ReLU, Linear, ReLU, ..., Linear.

    ``MLP([4, 8, 3], rng)`` has 4 inputs, 3 outputs and one hidden layer of 8.
    """

    def __init__(self, sizes: Sequence[int], rng: np.random.Generator | None = None):
        """Sets ``self.layers``: a Linear for each pair of neighbours in ``sizes``, and a ReLU between
        every two Linears. The last layer is a Linear, since outputs may be negative.

        ``sizes`` has at least two entries. The Linears are drawn one after the other from ``rng``.
        """
        layers = []
        for i, o in pairwise(sizes):
            layers += [Linear(i, o, rng), ReLU()]
        Sequential.__init__(self, *layers[:-1])


def cross_entropy(logits: Float[Tensor, "B C"], y: Int[np.ndarray, "B"]) -> Float[Tensor, ""]:
    """The mean cross-entropy of a batch, a Tensor of shape ():

        L = 1/B sum_b (log sum_c exp(logits[b, c]) - logits[b, y[b]])

    ``logits`` is a Tensor of shape (B, C), ``y`` an array of B labels of any integer type, uint8
    among them. After ``backward()`` of the result, ``logits.grad`` is dL/dlogits. Loss and gradient
    are finite and right for all finite logits, 1000 and -1000 among them. Raises ValueError if a
    label is not one of 0, ..., C - 1. ``logits.data`` and ``y`` are left unchanged.
    """
    B, C = logits.shape
    if y.min() < 0 or y.max() >= C:
        raise ValueError(f"labels from {y.min()} to {y.max()}, but {C} classes")
    rows = np.arange(B)
    shifted = logits.data - logits.data.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def backward(grad):
        dlogits = np.exp(log_p)
        dlogits[rows, y] -= 1
        logits.accumulate(grad * dlogits / B)

    return Tensor(-log_p[rows, y].mean(), _prev=(logits,), _backward=backward)


class SGD:
    """Stochastic gradient descent with momentum, in the form that PyTorch uses.

    For every parameter p, with its gradient g and a velocity v that starts at 0:

        v <- momentum v + g
        p <- p - lr v

    ``lr`` and ``momentum`` are attributes and may be changed between two steps.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.0):
        """Sets ``lr``, ``momentum``, and what the class needs to remember of ``params``.

        ``params`` is any iterable of Tensors, a generator among them. Nothing moves yet.
        """
        self.params = list(params)
        self.lr = lr
        self.momentum = momentum
        self.velocities = [np.zeros(p.shape) for p in self.params]

    def step(self) -> None:
        """Updates every velocity and every parameter's ``data`` once. No ``grad`` is changed."""
        for p, v in zip(self.params, self.velocities, strict=True):
            v *= self.momentum
            v += p.grad
            p.data -= self.lr * v

    def zero_grad(self) -> None:
        """Sets every parameter's ``grad`` to zeros; ``data`` and velocities stay as they are."""
        for p in self.params:
            p.zero_grad()


def fit_sin(seed: int, steps: int = 800) -> tuple[Callable[[Tensor], Tensor], list[float]]:
    """Fit sin(x) on [-pi, pi] with an MLP, the mean squared error and SGD.

    Returns ``(model, losses)``. ``model`` maps a Tensor of shape (N, 1), angles in radians, to a
    Tensor of shape (N, 1). After the default ``steps``, and for every seed from 0 to 999, its largest
    error on [-pi, pi] is below 0.05 and its mean squared error below 1e-3. ``losses`` holds one
    float for each step, the loss on the training points before that step.

    Training points, widths, learning rate, momentum and the default of ``steps`` are yours to choose;
    the default takes a few seconds at most. All randomness comes from ``np.random.default_rng(seed)``:
    a seed gives the same result at every call, another seed another one.
    """
    X = np.linspace(-np.pi, np.pi, 48)[:, None]
    x, target = Tensor(X, requires_grad=False), np.sin(X)
    model = MLP([1, 64, 64, 1], np.random.default_rng(seed))
    model.layers[0].weight.data /= np.pi  # He's variance is meant for inputs of about unit size
    optimiser = SGD(model.parameters(), lr=0.0, momentum=0.9)
    losses = []
    for step in range(steps):
        optimiser.lr = 0.04 * min((step + 1) / 200, 1 - step / steps)
        loss = ((model(x) - target) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return model, losses


def minibatches(
    n: int, batch_size: int, rng: np.random.Generator
) -> Iterator[Int[np.ndarray, "batch"]]:
    """One epoch: the indices 0, ..., n - 1 in a random order, cut into batches.

    Gives (as a list or a generator) integer arrays of length ``batch_size``, the last one shorter
    where ``n`` is no multiple of it; never an empty one. Every index stands in exactly one batch. The
    order is a uniformly random one drawn from ``rng``, so that another call gives another order.
    """
    order = rng.permutation(n)
    for start in range(0, n, batch_size):
        yield order[start:start + batch_size]


def as_inputs(images: UInt8[np.ndarray, "B *pixels"]) -> Float[Tensor, "B D"]:
    """Pictures of bytes as rows of numbers from 0 to 1: a Tensor that needs no gradient."""
    return Tensor(images.reshape(len(images), -1) / 255, requires_grad=False)


def train_digits(
    model: Sequential,
    images: UInt8[np.ndarray, "N *pixels"],
    labels: Int[np.ndarray, "N"],
    rng: np.random.Generator,
    epochs: int = 8,
    batch_size: int = 128,
    lr: float = 0.1,
    momentum: float = 0.9,
) -> list[float]:
    """Train ``model`` in place to tell the digits on ``images``, with SGD on the cross-entropy.

    Each of the ``epochs`` visits all N pictures once, in ``minibatches`` freshly drawn from ``rng``;
    each batch gives one step of SGD (``lr`` and ``momentum`` stay the same, the velocity is kept from
    epoch to epoch) along the gradient of the mean cross-entropy of that batch alone. ``model``
    is fed with ``as_inputs`` of a batch's pictures and gives logits. Returns one float for each
    step in order: the batch's loss before the step. ``images`` and ``labels`` are left unchanged.
    What the parameters' ``grad`` held before the call has no influence.
    """
    optimiser = SGD(model.parameters(), lr, momentum)
    steps = epochs * -(-len(images) // batch_size)
    batches = (b for _ in range(epochs) for b in minibatches(len(images), batch_size, rng))
    with Training(steps, "digits") as run:
        for _, batch in zip(run, batches, strict=True):
            loss = cross_entropy(model(as_inputs(images[batch])), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(loss=loss.item())
    return run.history.get("loss", [])


def predict(model: Sequential, images: UInt8[np.ndarray, "N *pixels"]) -> Int[np.ndarray, "N"]:
    """The class with the largest logit for each picture, an integer array of N labels.

    ``images`` has at least one picture. Pictures go through ``model`` (by way of ``as_inputs``) at most
    1000 at a time, so that 60,000 of them need no gigabyte.
    """
    parts = [images[start:start + 1000] for start in range(0, len(images), 1000)]
    return np.concatenate([model(as_inputs(part)).data.argmax(axis=1) for part in parts])
