"""A second implementation of Day 3 by other means: nothing here is taken from solutions/.

Subtraction, division and the mean are operations of their own; the traversal counts users instead
of searching depth first; matrix products are differentiated one pair of matrices at a time.
"""

from collections import Counter

import numpy as np
import torch


def unbroadcast(grad, shape):
    try:
        fits = np.broadcast_to(np.empty(shape), grad.shape).shape == grad.shape
    except ValueError as error:
        raise ValueError("not a broadcast of this shape") from error
    assert fits
    padded = (1,) * (grad.ndim - len(shape)) + tuple(shape)
    axes = [i for i, n in enumerate(padded) if n == 1]
    for axis in axes:
        grad = np.add.reduce(grad, axis=axis, keepdims=True)
    return np.reshape(grad, shape)


class Tensor:
    __array_ufunc__ = None

    def __init__(self, data, requires_grad=True, _prev=(), _backward=None):
        self.data = np.array(data, dtype="float64")
        wanted = requires_grad if len(_prev) == 0 else sum(p.requires_grad for p in _prev) > 0
        self.requires_grad, self.grad, self._prev, self._backward = bool(wanted), None, (), None
        if wanted:
            self.grad = 0.0 * np.nan_to_num(self.data)
            self._prev, self._backward = tuple(_prev), _backward

    @classmethod
    def wrap(cls, value):
        return value if type(value) is cls else cls(value, False)

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    T = property(lambda self: self.transpose())

    def item(self):
        return float(self.data)

    def zero_grad(self):
        self.grad = np.zeros_like(self.data) if self.requires_grad else None

    def accumulate(self, grad):
        if not self.requires_grad:
            return
        self.grad = self.grad + unbroadcast(np.asarray(grad), self.data.shape)

    def _unary(self, data, derivative):
        return Tensor(data, _prev=[self], _backward=lambda g: self.accumulate(g * derivative))

    def _binary(self, other, data, by_self, by_other):
        def send(g):
            for operand, derivative in ((self, by_self), (other, by_other)):
                operand.accumulate(np.multiply(g, derivative))

        return Tensor(data, _prev=[self, other], _backward=send)

    def __add__(self, other):
        other = Tensor.wrap(other)
        return self._binary(other, np.add(self.data, other.data), 1.0, 1.0)

    __radd__ = __add__

    def __mul__(self, other):
        other = Tensor.wrap(other)
        return self._binary(other, np.multiply(self.data, other.data), other.data, self.data)

    __rmul__ = __mul__

    def __neg__(self):
        return self._unary(np.negative(self.data), -1.0)

    def __sub__(self, other):
        other = Tensor.wrap(other)
        return self._binary(other, np.subtract(self.data, other.data), 1.0, -1.0)

    def __rsub__(self, other):
        return Tensor.wrap(other) - self

    def __truediv__(self, other):
        other = Tensor.wrap(other)
        quotient = np.divide(self.data, other.data)
        return self._binary(other, quotient, 1.0 / other.data, -quotient / other.data)

    def __rtruediv__(self, other):
        return Tensor.wrap(other) / self

    def __pow__(self, k):
        slope = np.zeros(self.shape) if k == 0 else k * np.power(self.data, k - 1.0)
        return self._unary(np.power(self.data, float(k)), slope)

    def exp(self):
        return self._unary(np.e**self.data, np.e**self.data)

    def log(self):
        return self._unary(np.log1p(self.data - 1.0), np.reciprocal(self.data))

    def tanh(self):
        return self._unary(np.tanh(self.data), 1.0 / np.cosh(self.data) ** 2)

    def relu(self):
        return self._unary(np.where(self.data > 0, self.data, 0.0), np.heaviside(self.data, 0.0))

    def _axes(self, axis):
        if axis is None:
            return tuple(range(self.ndim))
        axes = axis if isinstance(axis, tuple) else (axis,)
        return tuple(a + self.ndim if a < 0 else a for a in axes)

    def _reduce(self, data, weights, axis, keepdims):
        axes = self._axes(axis)

        def send(g):
            g = np.asarray(g)
            for a in sorted(axes) if not keepdims else ():
                g = np.expand_dims(g, a)
            self.accumulate(weights * g)

        return Tensor(data, _prev=[self], _backward=send)

    def sum(self, axis=None, keepdims=False):
        data = np.einsum(self.data, list(range(self.ndim)),
                         [i for i in range(self.ndim) if i not in self._axes(axis)])
        if keepdims:
            data = data.reshape([1 if i in self._axes(axis) else n for i, n in enumerate(self.shape)])
        return self._reduce(data, np.ones(self.shape), axis, keepdims)

    def mean(self, axis=None, keepdims=False):
        n = 1
        for a in self._axes(axis):
            n *= self.shape[a]
        return self._reduce(np.mean(self.data, axis=axis, keepdims=keepdims),
                            np.full(self.shape, 1.0 / n), axis, keepdims)

    def max(self, axis=None, keepdims=False):
        axes = self._axes(axis)
        top = np.amax(self.data, axis=axes, keepdims=True)
        first = np.where(self.data >= top, 1.0, 0.0)
        return self._reduce(np.amax(self.data, axis=axes, keepdims=keepdims),
                            first / np.sum(first, axis=axes, keepdims=True), axis, keepdims)

    def reshape(self, *shape):
        shape = shape[0] if shape and isinstance(shape[0], tuple) else shape
        return Tensor(np.ravel(self.data).reshape(shape), _prev=[self],
                      _backward=lambda g: self.accumulate(np.array(g).ravel().reshape(self.shape)))

    def transpose(self, *axes):
        axes = axes[0] if axes and isinstance(axes[0], tuple) else axes
        axes = self._axes(tuple(axes)) if axes else tuple(reversed(range(self.ndim)))
        back = [axes.index(i) for i in range(self.ndim)]
        return Tensor(np.moveaxis(self.data, axes, range(self.ndim)), _prev=[self],
                      _backward=lambda g: self.accumulate(np.transpose(g, back)))

    def __getitem__(self, index):
        places = np.arange(self.size).reshape(self.shape)[index]

        def send(g):
            total = np.bincount(np.ravel(places), weights=np.ravel(g), minlength=self.size)
            self.accumulate(total.reshape(self.shape))

        return Tensor(self.data.ravel()[places], _prev=[self], _backward=send)

    def __matmul__(self, other):
        other = Tensor.wrap(other)

        def send(g):
            for operand, grad in zip(
                (self, other), matmul_backward(g, self.data, other.data), strict=True
            ):
                operand.accumulate(grad)

        return Tensor(np.matmul(self.data, other.data), _prev=[self, other], _backward=send)

    matmul = __matmul__

    def __rmatmul__(self, other):
        return Tensor.wrap(other) @ self

    def backward(self, grad=None):
        if not self.requires_grad or (grad is None and np.prod(self.shape) > 1):
            raise ValueError("nothing to differentiate, or more than one number")
        users, found = Counter(), {id(self): self}
        waiting = [self]
        while waiting:
            for operand in waiting.pop()._prev:
                users[id(operand)] += 1
                if id(operand) not in found:
                    found[id(operand)] = operand
                    waiting.append(operand)
        for node in found.values():
            if node._backward is not None:
                node.zero_grad()
        self.accumulate(np.full(self.shape, 1.0) if grad is None else np.array(grad, dtype=float))
        ready = [self]
        while ready:
            node = ready.pop()
            if node._backward is None:
                continue
            node._backward(node.grad)
            for operand in node._prev:
                users[id(operand)] -= 1
                if users[id(operand)] == 0:
                    ready.append(operand)


def matmul_backward(dC, A, B):
    rows, columns = np.atleast_2d(A), B.reshape(-1, 1) if B.ndim == 1 else B
    batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    dC = np.asarray(dC).reshape((*batch, rows.shape[-2], columns.shape[-1]))
    dA, dB = np.zeros(rows.shape), np.zeros(columns.shape)

    def own(at, array):
        """The place of the batch index ``at`` in an operand whose batch axes were broadcast."""
        at = at[len(at) - (array.ndim - 2):]
        return tuple(0 if n == 1 else i for i, n in zip(at, array.shape, strict=False))

    for at in np.ndindex(batch):
        i, j = own(at, rows), own(at, columns)
        dA[i] += np.einsum("mn,kn->mk", dC[at], columns[j])
        dB[j] += np.einsum("mk,mn->kn", rows[i], dC[at])
    return dA.reshape(A.shape), dB.reshape(B.shape)


def torch_gradients(f, *arrays):
    leaves = [torch.from_numpy(np.array(a, dtype=np.float64)).requires_grad_() for a in arrays]
    grads = torch.autograd.grad(f(*leaves), leaves, allow_unused=True)
    return tuple(torch.zeros_like(x) if g is None else g for x, g in zip(leaves, grads, strict=True))


def gradcheck(f, *arrays):
    leaves = [Tensor(array) for array in arrays]
    f(*leaves).backward()
    for leaf, theirs in zip(leaves, torch_gradients(f, *arrays), strict=True):
        if not torch.allclose(torch.tensor(leaf.grad), theirs):
            return False
    return True


def fuzz(make, rng, count):
    results = [gradcheck(f, *arrays) for f, arrays in (make(rng) for _ in range(count))]
    return tuple(int(i) for i in np.flatnonzero(np.logical_not(results)))


def mlp_backward(X, Y, weights, biases):
    layers = [(Tensor(W.T), Tensor(b.reshape(-1, 1))) for W, b in zip(weights, biases, strict=True)]
    H = Tensor(X).T
    for W, b in layers[:-1]:
        H = (W.matmul(H) + b).relu()
    W, b = layers[-1]
    error = (W.matmul(H) + b).T - Tensor(Y)
    loss = (error * error).sum() / error.size
    loss.backward()
    return float(loss.data), [W.grad.T for W, _ in layers], [b.grad.ravel() for _, b in layers]
