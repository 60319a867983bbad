"""Day 7: five things PyTorch's autograd does that Day 3's engine does not, added from outside.

Follows PyTorch's documented behaviour ("Autograd mechanics",
https://docs.pytorch.org/docs/stable/notes/autograd.html). Leaves out views (a slice that shares
memory with its Tensor is not tracked), hooks, gradients of gradients, and threads.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float

from .day02_micrograd import topological_order
from .day03_tensor_autograd import Tensor


def is_grad_enabled() -> bool:
    """Whether operations are recorded now: make a result and look."""
    return Tensor(0.0, _prev=(Tensor(0.0),)).requires_grad


@contextmanager
def no_grad() -> Iterator[None]:
    """``with no_grad():`` runs its block without recording operations, as in PyTorch.

    Day 3 makes every result by ``Tensor(data, _prev=..., _backward=...)``, so it is enough to act on
    the constructor ``Tensor.__init__`` (an attribute of a class may be assigned). Inside the block:

    - a result does not require a gradient, whatever its operands do; ``_prev`` is ``()``, ``grad``
      and ``_backward`` are None; ``data`` is as always;
    - a leaf is made as always: ``Tensor(1.0)`` requires a gradient;
    - ``backward()`` of a graph that was recorded before works as always.

    Blocks may be nested. After the block, even one left by an exception (which goes on to the
    caller), ``Tensor.__init__`` is the object that it was before the block.
    """
    init = Tensor.__init__

    def without_graph(self, data, requires_grad=True, _prev=(), _backward=None):
        init(self, data, requires_grad and not _prev)

    Tensor.__init__ = without_graph
    try:
        yield
    finally:
        Tensor.__init__ = init


def version(t: Tensor) -> list[int]:
    """The version counter of a Tensor's memory: a list of one number, at first 0.

    It counts the in-place changes of this memory and is kept in ``t._version``. Tensors that share
    memory must share the list itself.
    """
    return t.__dict__.setdefault("_version", [0])


def detach(t: Tensor) -> Tensor:
    """A new leaf outside the graph, with the memory of ``t``.

    Its ``requires_grad`` is False, its ``data`` is the very array ``t.data``, no copy, and its
    version counter is that of ``t`` (the same list, see ``version``). ``t`` itself stays in its
    graph.
    """
    result = Tensor(t.data, requires_grad=False)
    result.data = t.data
    result._version = version(t)
    return result


def add_(t: Tensor, value: "Float[np.ndarray, '...'] | float") -> Tensor:
    """Add ``value`` (a number, or an array that broadcasts to the shape of ``t``) to ``t`` in place.

    The array ``t.data`` stays the same object with new entries, the version of ``t`` rises by 1,
    and ``t`` is returned. The graph stays as it is: the derivative of t + value for t is 1.

    Raises RuntimeError, before anything is changed, if ``t`` is a leaf that requires a gradient and
    operations are recorded now (``is_grad_enabled()``).
    """
    if t.requires_grad and not t._prev and is_grad_enabled():
        raise RuntimeError("a leaf that requires a gradient is changed in place")
    t.data += value
    version(t)[0] += 1
    return t


def mul_(t: Tensor, factor: float) -> Tensor:
    """Multiply ``t`` in place by the number ``factor``; returns ``t``.

    Array, version and RuntimeError as for ``add_``. If ``t`` is the result of an operation and
    operations are recorded now, ``t._backward`` is replaced by a function that takes the gradient
    of the *new* value: called with ``g``, it adds to the operands' ``grad`` the gradients for
    ``factor`` times the old value. Otherwise ``t._backward`` stays.
    """
    if t.requires_grad and not t._prev and is_grad_enabled():
        raise RuntimeError("a leaf that requires a gradient is changed in place")
    t.data *= factor
    version(t)[0] += 1
    before = t._backward
    if before is not None and is_grad_enabled():
        t._backward = lambda grad: before(grad * factor)
    return t


def save(out: Tensor, *saved: Tensor) -> Tensor:
    """Note that ``out._backward`` will need the data of the Tensors ``saved``; returns ``out``.

    ``out`` itself may be among them. If ``out`` does not require a gradient, nothing is done. Else
    ``out._saved`` becomes a list with a pair (Tensor, number of its version now) for each of
    ``saved``, and ``out._backward`` a function that does what it did before, unless

    - ``out._saved`` has meanwhile been set to None: the values were freed;
    - one of ``saved`` has another version number than was noted.

    Then it raises RuntimeError and adds no gradient.
    """
    if not out.requires_grad:
        return out
    before = out._backward
    out._saved = [(t, version(t)[0]) for t in saved]

    def backward(grad):
        if out._saved is None:
            raise RuntimeError("Trying to backward through the graph a second time")
        for t, then in out._saved:
            if version(t)[0] != then:
                raise RuntimeError(
                    f"a saved Tensor of shape {t.shape} is at version {version(t)[0]}; "
                    f"expected version {then}"
                )
        before(grad)

    out._backward = backward
    return out


def mul(a: Tensor, b: Tensor) -> Tensor:
    """``a * b``, with ``save``: for the gradient of ``a`` the data of ``b`` is needed, and the other
    way round.

    Saves no more than needed: ``b`` only if ``a`` requires a gradient, ``a`` only if ``b`` does.
    """
    return save(a * b, *[b] * a.requires_grad, *[a] * b.requires_grad)


def exp(a: Tensor) -> Tensor:
    """``a.exp()``, with ``save``: the derivative is the result, so the result is saved, not ``a``."""
    out = a.exp()
    return save(out, out)


def log(a: Tensor) -> Tensor:
    """``a.log()``, with ``save``: the derivative is 1/a, so ``a`` is saved, not the result."""
    return save(a.log(), a)


def backward(
    out: Tensor, grad: "Float[np.ndarray, '...'] | None" = None, retain_graph: bool = False
) -> None:
    """The gradients, as the method of Day 3 finds them; afterwards what was saved is freed, unless
    ``retain_graph``.

    To free means: ``_saved`` becomes None for every Tensor in the graph of ``out``, itself
    included, that saved at least one value (its ``_saved`` is a list that is not empty). So a
    second ``backward`` through such an operation raises RuntimeError (see ``save``), while a graph
    that saved nothing, of sums for instance, may be gone through again. With ``retain_graph=True``
    every ``_saved`` stays as it is.
    """
    out.backward(grad)  # leaves accumulate, results start anew
    if not retain_graph:
        for node in topological_order(out):
            if getattr(node, "_saved", None):
                node._saved = None


def cases() -> dict[str, str]:
    """PyTorch programs to predict. Before each: ``x = torch.tensor(3.0, requires_grad=True)``."""
    return {
        "a": "(x * x).backward(); (x * x).backward()",
        "b": "y = x * x; y.backward(); y.backward()",
        "c": "y = x + x; y.backward(); y.backward()",
        "d": "y = x * x; y.backward(retain_graph=True); y.backward()",
        "e": "h = x * x; p = h + 1; q = h + 2; p.backward(); q.backward()",
        "f": "y = x.exp(); y.add_(1); y.backward()",
        "g": "y = x.log(); y.mul_(6); y.backward()",
        "h": "x.add_(1); (x * x).backward()",
        "i": "y = x * x\nwith torch.no_grad():\n    x.add_(1)\ny.backward()",
        "j": "y = x * x; x.detach().add_(1); y.backward()",
        "k": "y = x * x; x.data.add_(1); y.backward()",
        "l": "y = x * x.detach(); y.backward()",
        "m": "with torch.no_grad():\n    c = x * x\n(c * x).backward()",
        "n": "w = torch.tensor(2.0, requires_grad=True); (w * x.detach()).backward()",
    }


def outcome(program: str) -> float | str:
    """What PyTorch really does: ``x.grad`` as a float, "none" if it is None, "error" if the program
    raises RuntimeError.
    """
    names = {"torch": torch, "x": torch.tensor(3.0, requires_grad=True)}
    try:
        exec(program, names)
    except RuntimeError:
        return "error"
    grad = names["x"].grad
    return "none" if grad is None else float(grad)


def predictions() -> dict[str, float | str]:
    """Your prediction of ``outcome(program)`` for each of ``cases()``, by its letter.

    A number for ``x.grad``, "none" or "error". Write them down before running anything.
    """
    return {
        "a": 12, "b": "error", "c": 4, "d": 12, "e": "error", "f": "error", "g": 2,
        "h": "error", "i": "error", "j": "error", "k": 8, "l": 3, "m": 9, "n": "none",
    }
