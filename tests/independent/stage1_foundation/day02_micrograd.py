"""A second implementation of Day 2: tables of derivatives, Kahn's algorithm, NumPy scalars."""

import math
import random
from collections import deque
from itertools import chain, pairwise

import numpy as np


def chain_rule_by_hand(a, b, c, f):
    """L = (ab + c)(a + f), differentiated as a formula and in single precision."""
    a, b, c, f = (np.float32(v) for v in (a, b, c, f))
    inner, outer = a * b + c, a + f
    return {
        "a": b * outer + inner, "b": a * outer, "c": outer, "f": inner,
        "d": outer, "e": outer, "g": inner, "L": np.float32(1),
    }


class Value:
    def __init__(self, data, _prev=(), _op=""):
        self.data, self.grad, self._prev, self._op = data, 0.0, tuple(_prev), _op
        self.slopes = ()

    def _backward(self):
        for operand, slope in zip(self._prev, self.slopes, strict=True):
            operand.grad = operand.grad + slope() * self.grad

    def made(self, data, operands, op, *slopes):
        node = Value(data, operands, op)
        node.slopes = slopes
        return node

    def __add__(self, other):
        if not isinstance(other, Value):
            other = Value(np.float64(other))
        return self.made(self.data + other.data, (self, other), "+", lambda: 1, lambda: 1)

    def __mul__(self, other):
        if not isinstance(other, Value):
            other = Value(np.float64(other))
        return self.made(
            self.data * other.data, (self, other), "*", lambda: other.data, lambda: self.data
        )

    __radd__ = __add__
    __rmul__ = __mul__

    def __pow__(self, k):
        if isinstance(k, Value):
            return NotImplemented
        slope = 0.0 if k == 0 else k * self.data ** (k - 1)
        return self.made(self.data**k, [self], f"**{k}", lambda: slope)

    def relu(self):
        return self.made(
            np.maximum(self.data, 0), [self], "relu", lambda: np.heaviside(self.data, 0)
        )

    def exp(self):
        value = np.exp(self.data)
        return self.made(value, [self], "exp", lambda: value)

    def tanh(self):
        small = math.exp(-2 * abs(self.data))
        value = math.copysign((1 - small) / (1 + small), self.data)
        return self.made(value, [self], "tanh", lambda: 4 * small / (1 + small) ** 2)

    def backward(self):
        self.grad = np.float64(1)
        order = topological_order(self)
        while order:
            order.pop()._backward()

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, other):
        return self * other**-1

    def __rtruediv__(self, other):
        return self**-1 * other


def topological_order(root):
    """Kahn: a node is ready when all of its uses have been dealt with; built from the root."""
    uses, frontier = {root: 0}, deque([root])
    while frontier:
        for operand in frontier.popleft()._prev:
            if operand not in uses:
                uses[operand] = 0
                frontier.append(operand)
            uses[operand] += 1
    ready, order = [root], deque()
    while ready:
        node = ready.pop()
        order.appendleft(node)
        for operand in node._prev:
            uses[operand] -= 1
            if uses[operand] == 0:
                ready.append(operand)
    return list(order)


class Neuron:
    def __init__(self, nin, rng, activation="tanh"):
        self.w = [Value(rng.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0.0)
        self.activation = activation

    def __call__(self, x):
        if len(x) != len(self.w):
            raise ValueError("wrong number of inputs")
        total = sum(xi * wi for xi, wi in zip(x, self.w, strict=True)) + self.b
        return {"tanh": total.tanh, "relu": total.relu, "linear": lambda: total}[self.activation]()

    def parameters(self):
        return (*self.w, self.b)


class Layer:
    def __init__(self, nin, nout, rng, activation="tanh"):
        self.neurons = []
        while len(self.neurons) < nout:
            self.neurons.append(Neuron(nin, rng, activation=activation))

    def __call__(self, x):
        return tuple(map(lambda neuron: neuron(x), self.neurons))

    def parameters(self):
        return [*chain.from_iterable(neuron.parameters() for neuron in self.neurons)]


class MLP:
    def __init__(self, nin, nouts, rng, activation="tanh"):
        self.layers = []
        for i, (fan_in, fan_out) in enumerate(pairwise([nin, *nouts]), 1):
            self.layers.append(
                Layer(fan_in, fan_out, rng, "linear" if i == len(nouts) else activation)
            )

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        (*rest, last) = x
        return [*rest, last] if rest else last

    def parameters(self):
        found = []
        for layer in self.layers:
            found.extend(layer.parameters())
        return found

    def zero_grad(self):
        for parameter in self.parameters():
            parameter.grad *= 0


def mse_loss(predictions, targets):
    if len(predictions) != len(targets):
        raise ValueError("as many predictions as targets, please")
    total = Value(0.0)
    for prediction, target in zip(predictions, targets, strict=True):
        gap = target - prediction
        total = total + gap * gap * (1 / len(targets))
    return total


def train_step(model, xs, ys, lr):
    """The gradient is added up pair by pair, which is the same by linearity."""
    model.zero_grad()
    loss = 0.0
    for x, y in zip(xs, ys, strict=True):
        part = (model((x,)) - y) ** 2 / len(xs)
        part.backward()
        loss += part.data
    for parameter in model.parameters():
        parameter.data = parameter.data - lr * parameter.grad
    return float(loss)


def fit_quadratic(seed, steps=180):
    xs = np.linspace(-1, 1, 11)
    ys = np.polyval([3, -4, 5], xs)
    model = MLP(1, [10, 1], random.Random(seed))
    return model, [train_step(model, xs, ys, 0.08) for _ in range(steps)]


class Dual:
    def __init__(self, data, tangent=0.0):
        self.data, self.tangent = data, tangent

    def along(self, value, slope):
        return Dual(value, slope * self.tangent)

    def __add__(self, other):
        if isinstance(other, Dual):
            return Dual(self.data + other.data, self.tangent + other.tangent)
        return self.along(self.data + other, 1)

    def __mul__(self, other):
        if isinstance(other, Dual):
            product = self.data * other.data
            return Dual(product, other.data * self.tangent + self.data * other.tangent)
        return self.along(self.data * other, other)

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -1 * other

    def __rsub__(self, other):
        return -1 * self + other

    def __truediv__(self, other):
        return self * other**-1

    def __rtruediv__(self, other):
        return self**-1 * other

    def __pow__(self, k):
        return self.along(1.0, 0.0) if k == 0 else self.along(
            self.data**k, k * self.data ** (k - 1)
        )

    def relu(self):
        return Dual(self.data, self.tangent) if self.data > 0 else Dual(0.0)

    def exp(self):
        return self.along(np.exp(self.data), np.exp(self.data))

    def tanh(self):
        value = np.tanh(self.data)
        return self.along(value, (1 - value) * (1 + value))


def jvp(f, x, v):
    duals = list(map(Dual, x, v))
    return np.array([out.tangent for out in f(duals)])


def vjp(f, x, g):
    """All outputs are seeded at once, then one walk over their common graph."""
    inputs = [Value(v) for v in x]
    outputs = f(inputs)
    for out, weight in zip(outputs, g, strict=True):
        out.grad += weight
    for node in reversed(topological_order(Value(0.0, outputs))[:-1]):
        node._backward()
    return np.array([v.grad for v in inputs], dtype=np.float32)


def quiz_answers():
    return {f"q{i}": letter for i, letter in enumerate("CBDACBAD", 1)}
