"""Day 6 a second time, by other formulas and other idioms."""

import math

import numpy as np
from ladder.solutions.stage1_foundation.day03_tensor_autograd import Tensor
from ladder.solutions.stage1_foundation.day04_layers_and_sgd import (
    Linear,
    ReLU,
    Sequential,
    cross_entropy,
)


def variance_steps(fan_in, fan_out, var_w, mean_x, var_x, var_g):
    second = mean_x * mean_x + var_x
    spread = math.sqrt(fan_in * var_w * second)
    steps = dict(forward=fan_in**-1, backward=fan_out**-1, kaiming=2.0 / fan_in)
    steps["xavier"] = 1 / ((1 / steps["forward"] + 1 / steps["backward"]) / 2)
    steps |= {"wx": second * var_w, "z": spread * spread, "dx": np.float64(var_g * var_w * fan_out)}
    steps["relu_mean"] = spread / math.sqrt(2 * math.pi)
    steps["relu_square"] = 0.5 * spread**2
    steps["relu_var"] = spread**2 * (math.pi - 1) / (2 * math.pi)
    return steps


def xavier_std(fan_in, fan_out):
    return ((fan_in + fan_out) / 2) ** -0.5


def kaiming_std(fan_in, nonlin="relu"):
    # E[f(z)²] of a standard normal z is the inverse of the squared gain.
    match nonlin:
        case "linear" | "relu" | "leaky_relu":
            slope = {"linear": 1.0, "relu": 0.0, "leaky_relu": 0.01}[nonlin]
            return np.sqrt(1 / (fan_in * (0.5 + 0.5 * slope**2)))
        case "tanh":
            return 5 / math.sqrt(9 * fan_in)
    raise ValueError(nonlin)


def variance_sweep(weights, x, g, nonlin):
    # One small graph for each layer, tied together by hand.
    pieces, h = [], x
    for W in weights:
        z = Tensor(h @ W)
        out = nonlin(z)
        pieces.append((W, z, out))
        h = out.data
    backward = []
    for W, z, out in reversed(pieces):
        if out is z:
            dz = g
        else:
            out.backward(g)
            dz = z.grad
        backward.append(np.mean((dz - np.mean(dz)) ** 2))
        g = dz @ W.T
    return tuple(np.var(out.data) for _, _, out in pieces), backward[::-1]


class BatchNorm1d:
    def __init__(self, features, eps=1e-5, momentum=0.1):
        self.gamma = Tensor([1.0] * features)
        self.beta = Tensor([0.0] * features)
        self.running_mean, self.running_var = np.zeros(features), np.ones(features)
        self.eps, self.momentum, self.training = eps, momentum, True

    def forward(self, x):
        B = x.shape[0]
        if not self.training:
            scale = (self.running_var + self.eps) ** -0.5
            centred = x - self.running_mean
        elif B == 1:
            raise ValueError("one example")
        else:
            mean = np.add.reduce(x) / B
            centred = x - mean
            var = np.einsum("bf,bf->f", centred, centred) / B
            scale = (var + self.eps) ** -0.5
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (x.var(axis=0, ddof=1) - self.running_var)
        cache = {"centred": centred, "scale": scale, "batch": self.training}
        return centred * (self.gamma.data * scale) + self.beta.data, cache

    def backward(self, dy, cache):
        # The paper's chain rule, term by term (section 3).
        centred, scale = cache["centred"], cache["scale"]
        dgamma, dbeta = bn_dgamma_dbeta(dy, centred * scale)
        dxhat = dy * self.gamma.data
        dx = dxhat * scale
        if cache["batch"]:
            B = len(dy)
            dvar = -0.5 * scale**3 * np.sum(dxhat * centred, axis=0)
            dmean = -np.sum(dx, axis=0) - 2 * dvar * centred.mean(axis=0)
            dx = dx + 2 * dvar * centred / B + dmean / B
        return [dx, dgamma, dbeta]

    def __call__(self, x):
        y, cache = self.forward(x.data)
        operands = (x, self.gamma, self.beta)

        def send(grad):
            for operand, part in zip(operands, self.backward(grad, cache), strict=True):
                operand.accumulate(part)

        return Tensor(y, _prev=operands, _backward=send)

    def parameters(self):
        return (self.gamma, self.beta)


def bn_dgamma_dbeta(dy, xhat):
    return np.diag(xhat.T @ dy), np.ones(len(dy)) @ dy


def bn_mlp(sizes, batchnorm, rng):
    model = Sequential()
    last = len(sizes) - 2
    for k in range(last + 1):
        model.layers.append(Linear(sizes[k], sizes[k + 1], rng))
        if k < last and batchnorm:
            model.layers.append(BatchNorm1d(sizes[k + 1]))
        if k < last:
            model.layers.append(ReLU())
    return model


def bn_ablation(seed, make, X, y, steps=400, lr=0.1, batch_size=64):
    draw = np.random.default_rng([seed, 1])
    batches = [draw.integers(len(X), size=batch_size) for _ in range(steps)]

    def curve(batchnorm):
        model = make(batchnorm, np.random.default_rng(seed))
        for chosen in batches:
            for p in model.parameters():
                p.grad = np.zeros_like(p.data)
            loss = cross_entropy(model(Tensor(np.take(X, chosen, axis=0))), y[chosen])
            loss.backward()
            for p in model.parameters():
                p.data = p.data - lr * p.grad
            yield float(loss.data)

    return {"batchnorm": tuple(curve(True)), "plain": tuple(curve(False))}


def steps_to_target(losses, target, window=20):
    if len(losses) < window:
        return None
    means = np.lib.stride_tricks.sliding_window_view(np.asarray(losses), window).mean(axis=1)
    reached = np.nonzero(means <= target)[0]
    return int(reached[0]) + window if reached.size else None
