"""Day 3: reverse-mode automatic differentiation on NumPy arrays.

Follows micrograd (https://github.com/karpathy/micrograd): a node knows its operands and how to send
a gradient back to them. A node holds a whole array, as in lectures 4 and 5 of CMU 10-414
(https://dlsyscourse.org). Leaves out dtypes other than float64, in-place operations, gradients of
gradients, and freeing a graph once it has been used.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float

from .day02_micrograd import topological_order


def unbroadcast(
    grad: Float[np.ndarray, "..."], shape: tuple[int, ...]
) -> Float[np.ndarray, "..."]:
    """The vector-Jacobian product of ``np.broadcast_to(x, grad.shape)`` for an x of ``shape``.

    Every entry of x was copied to one or more places; its gradient is the sum of ``grad`` over
    these places. Returns an array of exactly ``shape``, with axes of size 1 kept and axes that x
    does not have gone. ``grad`` itself is not changed; it may be returned where nothing was
    stretched. Raises ValueError if ``shape`` does not broadcast to ``grad.shape``.
    """
    if grad.shape == shape:
        return grad
    if np.broadcast_shapes(grad.shape, shape) != grad.shape:
        raise ValueError(f"shape {shape} does not broadcast to {grad.shape}")
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    return grad.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


class Tensor:
    """An array in a computation graph.

    ``Tensor(data)`` is a leaf: a parameter, or an input. An operation returns a new Tensor that
    remembers how it was made, and leaves its operands as they are. The fields:

    - ``data``: a float64 array;
    - ``requires_grad``: whether a gradient is wanted. True for a leaf unless it is made with
      ``requires_grad=False``; for a result, True if at least one operand requires a gradient;
    - ``grad``: an array of the shape of ``data``, at first zeros, to which gradients are added;
      None if ``requires_grad`` is False;
    - ``_prev``: the operands, a tuple of Tensors in the order written; ``()`` for a leaf, and for
      any Tensor that does not require a gradient;
    - ``_backward``: a function of one argument, the gradient ``g`` of the loss with respect to this
      Tensor, an array of its shape. Each call *adds* to every operand's ``grad`` the
      vector-Jacobian product of the operation with ``g`` (``accumulate`` does the adding). It
      changes nothing else, ``g`` included, and reads no ``grad``. None where ``_prev`` is ``()``.

    Wherever an operation takes a second operand, a plain number or a NumPy array stands for a leaf
    that does not require a gradient. Shapes broadcast as in NumPy.
    """

    __array_ufunc__ = None  # so that ``array * tensor`` comes to Tensor.__rmul__

    def __init__(
        self,
        data: "np.ndarray | Sequence | float",
        requires_grad: bool = True,
        _prev: "Sequence[Tensor]" = (),
        _backward: Callable | None = None,
    ):
        """A leaf, or with ``_prev`` and ``_backward`` the result of an operation.

        ``data`` is anything that ``np.asarray`` takes and becomes float64; a float64 array may be
        used without a copy. For a result the argument ``requires_grad`` does not count: the
        operands decide. Sets ``data``, ``requires_grad``, ``grad``, ``_prev`` and ``_backward`` as
        the class says; a result that does not require a gradient forgets ``_prev`` and
        ``_backward``, so that nothing is kept alive for it.
        """
        self.data = np.asarray(data, dtype=np.float64)
        if _prev:
            requires_grad = any(operand.requires_grad for operand in _prev)
        self.requires_grad = requires_grad
        self.grad = np.zeros(self.data.shape) if requires_grad else None
        self._prev = tuple(_prev) if requires_grad else ()
        self._backward = _backward if requires_grad else None

    @staticmethod
    def wrap(value: "Tensor | np.ndarray | float") -> "Tensor":
        """``value`` if it is a Tensor, else a leaf of it that does not require a gradient."""
        return value if isinstance(value, Tensor) else Tensor(value, requires_grad=False)

    def __repr__(self) -> str:
        flag = "" if self.requires_grad else ", requires_grad=False"
        return f"Tensor({np.array2string(self.data, precision=4, prefix='Tensor(')}{flag})"

    def __len__(self) -> int:
        return len(self.data)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def T(self) -> "Tensor":
        return self.transpose()

    def item(self) -> float:
        return self.data.item()

    def zero_grad(self) -> None:
        if self.requires_grad:
            self.grad = np.zeros(self.data.shape)

    def accumulate(self, grad: Float[np.ndarray, "..."]) -> None:
        """Add a gradient that arrives from one use of this Tensor to ``self.grad``.

        ``grad`` has a shape to which ``self.shape`` broadcasts, and is summed back to ``self.shape``
        first (``unbroadcast``). ``grad`` is not changed, now or by later calls: it may be part of
        another Tensor. Does nothing if this Tensor does not require a gradient.
        """
        if self.requires_grad:
            self.grad += unbroadcast(grad, self.shape)

    def __add__(self, other: "Tensor | np.ndarray | float") -> "Tensor":
        """The elementwise sum ``self + other``, broadcast; operands ``(self, other)``."""
        other = Tensor.wrap(other)

        def backward(grad):
            self.accumulate(grad)
            other.accumulate(grad)

        return Tensor(self.data + other.data, _prev=(self, other), _backward=backward)

    def __radd__(self, other: "np.ndarray | float") -> "Tensor":
        return self + other

    def __mul__(self, other: "Tensor | np.ndarray | float") -> "Tensor":
        """The elementwise product ``self * other``, broadcast; operands ``(self, other)``.

        ``other`` may be ``self``.
        """
        other = Tensor.wrap(other)

        def backward(grad):
            self.accumulate(grad * other.data)
            other.accumulate(grad * self.data)

        return Tensor(self.data * other.data, _prev=(self, other), _backward=backward)

    def __rmul__(self, other: "np.ndarray | float") -> "Tensor":
        return self * other

    def tanh(self) -> "Tensor":
        """The hyperbolic tangent of every entry; operand ``(self,)``."""
        value = np.tanh(self.data)

        def backward(grad):
            self.accumulate(grad * (1 - value**2))

        return Tensor(value, _prev=(self,), _backward=backward)

    def backward(self, grad: Float[np.ndarray, "..."] | None = None) -> None:
        """Find the gradient of a loss L for every Tensor that L was computed from.

        ``grad`` is dL/d(self), of the shape of ``self``; left out, ``self`` must hold a single
        number (any number of axes), L is that number, and dL/d(self) is 1. Afterwards, for every
        Tensor in the graph of ``self`` that requires a gradient:

        - a leaf's ``grad`` is what it was before plus dL/d(leaf), so two calls, on one graph or on
          two, give the sum;
        - a result's ``grad`` is dL/d(result) of this call alone, ``self`` included.

        A graph may be a chain of 5000 operations, far deeper than Python's recursion limit. Raises
        ValueError if ``self`` does not require a gradient, or if ``grad`` is left out and ``self``
        holds more than one number.
        """
        if not self.requires_grad:
            raise ValueError("backward() on a Tensor that does not require a gradient")
        if grad is None:
            if self.size != 1:
                raise ValueError(f"backward() without grad on a Tensor of shape {self.shape}")
            grad = np.ones(self.shape)
        order = topological_order(self)
        for node in order:
            if node._prev:
                node.zero_grad()
        self.accumulate(grad)
        for node in reversed(order):
            if node._prev:
                node._backward(node.grad)

    def __neg__(self) -> "Tensor":
        """``-self``, elementwise."""
        return self * -1.0

    def __sub__(self, other: "Tensor | np.ndarray | float") -> "Tensor":
        """``self - other``, elementwise and broadcast."""
        return self + -Tensor.wrap(other)

    def __rsub__(self, other: "np.ndarray | float") -> "Tensor":
        """``other - self`` for an ``other`` that is a plain number or a NumPy array."""
        return -self + other

    def __pow__(self, k: float) -> "Tensor":
        """Every entry to the power of ``k``, a plain number; operand ``(self,)``.

        For ``k == 0`` the derivative is 0 everywhere, where the entry is 0 too.
        """

        def backward(grad):
            if k != 0:
                self.accumulate(grad * k * self.data ** (k - 1))

        return Tensor(self.data**k, _prev=(self,), _backward=backward)

    def __truediv__(self, other: "Tensor | np.ndarray | float") -> "Tensor":
        """``self / other``, elementwise and broadcast."""
        return self * Tensor.wrap(other) ** -1

    def __rtruediv__(self, other: "np.ndarray | float") -> "Tensor":
        """``other / self`` for an ``other`` that is a plain number or a NumPy array."""
        return self**-1 * other

    def exp(self) -> "Tensor":
        """e to the power of every entry; operand ``(self,)``."""
        y = np.exp(self.data)

        def backward(grad):
            self.accumulate(grad * y)

        return Tensor(y, _prev=(self,), _backward=backward)

    def log(self) -> "Tensor":
        """The natural logarithm of every entry (all positive); operand ``(self,)``."""

        def backward(grad):
            self.accumulate(grad / self.data)

        return Tensor(np.log(self.data), _prev=(self,), _backward=backward)

    def relu(self) -> "Tensor":
        """max(0, entry) for every entry; operand ``(self,)``. The derivative at 0 is 0."""

        def backward(grad):
            self.accumulate(grad * (self.data > 0))

        return Tensor(np.maximum(self.data, 0), _prev=(self,), _backward=backward)

    def sum(
        self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
    ) -> "Tensor":
        """The sum over ``axis``, with the meaning and the shapes of ``np.sum``.

        ``axis`` is None (all axes), an int or a tuple of ints; negative ones count from the end.
        """
        total = self.data.sum(axis=axis, keepdims=True)

        def backward(grad):
            self.accumulate(np.broadcast_to(grad.reshape(total.shape), self.shape))

        data = total if keepdims else np.squeeze(total, axis)
        return Tensor(data, _prev=(self,), _backward=backward)

    def mean(
        self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
    ) -> "Tensor":
        """The mean over ``axis``, which means the same as for ``sum``."""
        total = self.sum(axis, keepdims)
        return total * (total.size / self.size)

    def max(
        self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
    ) -> "Tensor":
        """The largest entry along ``axis``, which means the same as for ``sum``.

        Where several entries are equally large, they share the gradient in equal parts, as in
        ``torch.amax``: two winners get half each.
        """
        top = self.data.max(axis=axis, keepdims=True)

        def backward(grad):
            winners = self.data == top
            share = winners / winners.sum(axis=axis, keepdims=True)
            self.accumulate(share * grad.reshape(top.shape))

        data = top if keepdims else np.squeeze(top, axis)
        return Tensor(data, _prev=(self,), _backward=backward)

    def reshape(self, *shape: "int | tuple[int, ...]") -> "Tensor":
        """The same entries in C order in another shape: ``x.reshape(2, 3)`` or ``x.reshape((2, 3))``.

        One size may be -1, as in NumPy.
        """

        def backward(grad):
            self.accumulate(grad.reshape(self.shape))

        return Tensor(self.data.reshape(*shape), _prev=(self,), _backward=backward)

    def transpose(self, *axes: "int | tuple[int, ...]") -> "Tensor":
        """The axes in another order, with the meaning of ``np.transpose``.

        ``x.transpose(2, 0, 1)`` and ``x.transpose((2, 0, 1))`` have as axes 0, 1, 2 the axes 2, 0, 1
        of ``x``. Without arguments the order is reversed. An axis may be negative: it counts from
        the end.
        """
        order = axes[0] if len(axes) == 1 and isinstance(axes[0], tuple) else axes
        order = [axis % self.ndim for axis in order or range(self.ndim)[::-1]]

        def backward(grad):
            self.accumulate(grad.transpose(np.argsort(order)))

        return Tensor(self.data.transpose(order), _prev=(self,), _backward=backward)

    def __getitem__(self, index) -> "Tensor":
        """``self.data[index]`` for every index that NumPy takes: ints, slices, ``...``, ``None``,
        boolean masks, arrays of ints, and tuples of these.

        An entry that is taken more than once receives the sum of the gradients.
        """

        def backward(grad):
            np.add.at(self.grad, index, grad)

        return Tensor(self.data[index], _prev=(self,), _backward=backward)

    def matmul(self, other: "Tensor | np.ndarray") -> "Tensor":
        """The matrix product, with all the shapes that ``np.matmul`` takes; see
        :func:`matmul_backward`. Operands ``(self, other)``.
        """
        other = Tensor.wrap(other)

        def backward(grad):
            dA, dB = matmul_backward(grad, self.data, other.data)
            self.accumulate(dA)
            other.accumulate(dB)

        return Tensor(self.data @ other.data, _prev=(self, other), _backward=backward)

    def __matmul__(self, other: "Tensor | np.ndarray") -> "Tensor":
        """``self @ other``, the same as ``self.matmul(other)``."""
        return self.matmul(other)

    def __rmatmul__(self, other: np.ndarray) -> "Tensor":
        """``other @ self`` for an ``other`` that is a NumPy array."""
        return Tensor.wrap(other).matmul(self)


def matmul_backward(
    dC: Float[np.ndarray, "..."], A: Float[np.ndarray, "..."], B: Float[np.ndarray, "..."]
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """``(dA, dB)``: the gradients of a loss for the operands of ``C = np.matmul(A, B)``.

    ``dC`` is dL/dC, of the shape of C; dA has the shape of A and dB that of B. The shapes are those
    of ``np.matmul``:

        A             B             C
        (k,)          (k,)          ()            the inner product
        (m, k)        (k,)          (m,)
        (k,)          (k, n)        (n,)
        (m, k)        (k, n)        (m, n)
        (*a, m, k)    (*b, k, n)    (*ab, m, n)   the batch axes a and b broadcast to ab
        (*a, m, k)    (k,)          (*a, m)
        (k,)          (*b, k, n)    (*b, n)

    No argument is changed.
    """
    A2 = A[None, :] if A.ndim == 1 else A
    B2 = B[:, None] if B.ndim == 1 else B
    batch = np.broadcast_shapes(A2.shape[:-2], B2.shape[:-2])
    dC = np.reshape(dC, (*batch, A2.shape[-2], B2.shape[-1]))
    dA = unbroadcast(dC @ B2.mT, A2.shape)
    dB = unbroadcast(A2.mT @ dC, B2.shape)
    return dA.reshape(A.shape), dB.reshape(B.shape)


GRAMMAR = {
    "arithmetic": ("{a} + {b}", "{a} - {b}", "{a} * {b}", "{a} / ({b} * {b} + 1.0)", "-{a}",
                   "2.0 - {a}", "{a} ** 3", "1.0 / ({a} * {a} + 0.5)"),
    "functions": ("{a}.exp()", "({a} * {a} + 1.0).log()", "{a}.relu()", "{a}.tanh()"),
    "reductions": ("{a}.sum(axis=0)", "{a}.sum(axis=-1, keepdims=True)", "{a}.mean(axis=-1)",
                   "{a}.mean(axis=(0, -1), keepdims=True)"),
    "shapes": ("{a}.reshape(-1)", "{a}.reshape(4, 3).T", "{a}[-1]", "{a}[[0, 1, 0]]", "{a}[..., 1:]"),
    "matmul": ("{a} @ {b}", "{a} @ {b}.reshape(4, 3)", "{a}.reshape(3, 4) @ {b}"),
}
SHAPES = ((), (4,), (3, 1), (3, 4), (4, 3), (2, 1, 4), (2, 3, 4))


def random_graph(
    rng: np.random.Generator, kinds: Sequence[str] = tuple(GRAMMAR), lines: int = 8
) -> tuple[Callable, list[np.ndarray]]:
    """A random scalar function ``f`` of four inputs, and values for them: ``(f, arrays)``.

    ``f(*leaves)`` runs up to ``lines`` lines, drawn from the ``kinds`` of the grammar, on Tensors or
    on torch tensors alike. ``f.source`` is the program as text; its inputs are t0 to t3.
    """
    def one_of(items):
        return items[rng.integers(len(items))]

    arrays = [rng.normal(size=one_of(SHAPES)) for _ in range(4)]
    values = {f"t{i}": torch.from_numpy(array) for i, array in enumerate(arrays)}
    program, used = [], set()
    for _ in range(lines):
        kind = one_of(kinds)
        for _ in range(30):
            a, b = one_of(list(values)[-4:]), one_of(list(values))
            expression = one_of(GRAMMAR[kind]).format(a=a, b=b)
            try:
                value = eval(expression, {}, values)
            except (RuntimeError, IndexError):  # the shapes do not fit: draw again
                continue
            fits = "axis" not in expression or values[a].ndim > 0
            if fits and 0 < value.numel() < 100 and value.abs().max() < 10:
                used.update(re.findall(r"t\d+", expression))
                program.append(f"t{len(values)} = {expression}")
                values[f"t{len(values)}"] = value
                break
    ends = [f"{name}.mean()" for name in values if name not in used]
    source = "\n".join([*program, f"loss = {' + '.join(ends)}"])

    def f(*leaves):
        names = {f"t{i}": leaf for i, leaf in enumerate(leaves)}
        exec(source, {}, names)
        return names["loss"]

    f.source = source
    return f, arrays


def torch_gradients(f: Callable, *arrays: Float[np.ndarray, "..."]) -> list[np.ndarray]:
    """The gradients of ``f`` at ``arrays`` by PyTorch: a list with one array for each input.

    ``f`` takes as many torch tensors as there are ``arrays`` and returns a torch tensor that holds
    one number. Everything is computed in float64, and each gradient has the shape of its input; it
    is zeros for an input that ``f`` does not use. The ``arrays`` are not changed.
    """
    leaves = [torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in arrays]
    f(*leaves).backward()
    return [
        np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy() for leaf in leaves
    ]


def gradcheck(f: Callable, *arrays: Float[np.ndarray, "..."]) -> bool:
    """Whether Tensor and PyTorch find the same gradients of ``f`` at ``arrays``.

    ``f`` works on Tensors and on torch tensors alike and returns one number. True only if for every
    input and in every entry |mine - theirs| <= 1e-8 + 1e-5 |theirs|, the criterion of
    ``torch.allclose``; a NaN on either side makes it False.
    """
    leaves = [Tensor(array) for array in arrays]
    f(*leaves).backward()
    theirs = torch_gradients(f, *arrays)
    return all(np.allclose(leaf.grad, grad) for leaf, grad in zip(leaves, theirs, strict=True))


def fuzz(make: Callable, rng: np.random.Generator, count: int) -> list[int]:
    """Try ``gradcheck`` on ``count`` random functions; which ones fail?

    Each call of ``make(rng)`` returns another ``(f, arrays)``; it is called ``count`` times, always
    with this ``rng``. Returns the numbers of the functions, from 0 in the order made, for which
    ``gradcheck(f, *arrays)`` is False. A failure does not stop the search.
    """
    failures = []
    for i in range(count):
        f, arrays = make(rng)
        if not gradcheck(f, *arrays):
            failures.append(i)
    return failures


def mlp_backward(
    X: Float[np.ndarray, "batch d_in"],
    Y: Float[np.ndarray, "batch d_out"],
    weights: Sequence[Float[np.ndarray, "in out"]],
    biases: Sequence[Float[np.ndarray, "out"]],
) -> tuple[float, list[np.ndarray], list[np.ndarray]]:
    """Loss and gradients of a multi-layer perceptron, computed with Tensor.

    With H_0 = X, layer i gives H_i = relu(H_{i-1} W_i + b_i); the last layer has no relu. The
    loss is the mean of (H - Y)^2 over all ``batch * d_out`` entries of the last H. ``weights`` and
    ``biases`` hold one array for each layer, first layer first; there may be only one.

    Returns ``(loss, dweights, dbiases)``: a number, and two lists of arrays, in the order and of the
    shapes of ``weights`` and ``biases``. No argument is changed.
    """
    Ws, bs = [Tensor(W) for W in weights], [Tensor(b) for b in biases]
    H = Tensor(X, requires_grad=False)
    for i, (W, b) in enumerate(zip(Ws, bs, strict=True)):
        Z = H @ W + b
        H = Z.relu() if i < len(Ws) - 1 else Z
    loss = ((H - Y) ** 2).mean()
    loss.backward()
    return loss.item(), [W.grad for W in Ws], [b.grad for b in bs]
