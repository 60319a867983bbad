"""A second implementation of Day 7 by other means: nothing here is taken from solutions/ of the day.

no_grad is a class, versions are kept by memory address of the list, freeing walks with a stack.
"""

import numpy as np
from ladder.earlier.day03_tensor_autograd import Tensor


def is_grad_enabled():
    leaf = Tensor([1.0])
    return (leaf * leaf).requires_grad


class no_grad:
    def __enter__(self):
        self.init = init = Tensor.__init__

        def constructor(node, data, requires_grad=True, _prev=(), _backward=None):
            if len(_prev):
                requires_grad = False
            init(node, data, requires_grad=requires_grad)

        Tensor.__init__ = constructor

    def __exit__(self, *error):
        Tensor.__init__ = self.init


def version(t):
    if not hasattr(t, "_version"):
        t._version = [0]
    return t._version


def detach(t):
    leaf = Tensor(np.zeros(()), False)
    leaf.data, leaf._version = t.data, version(t)
    return leaf


def _change(t, ufunc, value):
    if t.requires_grad and len(t._prev) == 0 and is_grad_enabled():
        raise RuntimeError("leaf")
    ufunc(t.data, value, out=t.data)
    version(t)[0] = version(t)[0] + 1
    return t


def add_(t, value):
    return _change(t, np.add, value)


def mul_(t, factor):
    old = t._backward
    _change(t, np.multiply, factor)
    if is_grad_enabled() and old:
        def scaled(g):
            old(factor * np.asarray(g))

        t._backward = scaled
    return t


class _Checked:
    def __init__(self, out):
        self.out, self.inner = out, out._backward

    def __call__(self, g):
        if self.out._saved is None:
            raise RuntimeError("freed")
        if any(list(version(t)) != [n] for t, n in self.out._saved):
            raise RuntimeError("changed")
        return self.inner(g)


def save(out, *saved):
    if out.requires_grad:
        out._saved = list(zip(saved, [version(t)[0] for t in saved], strict=True))
        out._backward = _Checked(out)
    return out


def mul(a, b):
    needed = []
    if b.requires_grad:
        needed.append(a)
    if a.requires_grad:
        needed.append(b)
    return save(a * b, *needed)


def exp(a):
    y = a.exp()
    return save(y, y)


def log(a):
    return save(a.log(), a)


def backward(out, grad=None, retain_graph=False):
    out.backward(grad) if grad is not None else out.backward()
    stack, seen = [out], set()
    while stack and not retain_graph:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        stack.extend(node._prev)
        if len(getattr(node, "_saved", None) or ()):
            node._saved = None


def predictions():
    answers = dict.fromkeys("befhij", "Error")
    answers.update(a=12.0, c=4.0, d=np.float32(12), g=2.0, k=8, l=3, m=9.0, n="none")
    return {letter: answers[letter] for letter in reversed("abcdefghijklmn")}
