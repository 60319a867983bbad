"""Day 2: a scalar automatic-differentiation engine and the small networks it trains.

Follows Andrej Karpathy's micrograd (https://github.com/karpathy/micrograd) in its interface, and
adds a topological sort without recursion and forward mode with dual numbers (Baydin et al.,
arXiv:1502.05767, section 3.1). Leaves out tensors (Day 3), stochastic gradient descent (Day 4)
and derivatives of derivatives.
"""

import math
import random
from collections.abc import Callable, Sequence


def chain_rule_by_hand(a: float, b: float, c: float, f: float) -> dict[str, float]:
    """Every partial derivative of ``L`` in the graph below, at the given numbers.

    The graph is ``d = a * b``, ``e = d + c``, ``g = a + f``, ``L = e * g``. Note that ``a`` is
    used twice. Returns a dict with the keys ``"g", "e", "d", "c", "f", "b", "a"``; the entry
    ``"g"`` is dL/dg, and so on.
    """
    d = a * b
    e = d + c
    g = a + f
    dL = {"g": e, "e": g}
    dL["d"] = dL["e"]
    dL["c"] = dL["e"]
    dL["f"] = dL["g"]
    dL["b"] = dL["d"] * a
    dL["a"] = dL["d"] * b + dL["g"]
    return dL


class Arithmetic:
    """Negation, subtraction and division, made of ``+``, ``*`` and ``**``."""

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return other + -self

    def __truediv__(self, other):
        return self * other**-1

    def __rtruediv__(self, other):
        return other * self**-1


class Value(Arithmetic):
    """A number in a computation graph.

    ``Value(2.0)`` is a leaf. An operation returns a new node, ``Value(data, operands, op)``, and
    leaves its operands as they are. The fields:

    - ``data``: the number;
    - ``grad``: dL/d(this node) for the node ``L`` on which ``backward()`` is called, at first 0.0;
    - ``_prev``: the operands, a tuple of Values in the order written, empty for a leaf;
    - ``_op``: the operation's name, empty for a leaf;
    - ``_backward``: a function without arguments that passes the gradient one step back. For every
      operand it *adds* to ``operand.grad`` the product of the local derivative and this node's
      ``grad``, as it is at the time of the call. It changes nothing else. A leaf's does nothing.

    Wherever an operation takes a Value, a plain ``int`` or ``float`` stands for the leaf of it.
    """

    def __init__(self, data: float, _prev: "tuple[Value, ...]" = (), _op: str = ""):
        self.data = data
        self.grad = 0.0
        self._prev = _prev
        self._op = _op
        self._backward = lambda: None

    def __repr__(self) -> str:
        return f"Value(data={self.data:.6g}, grad={self.grad:.6g})"

    def __add__(self, other: "Value | float") -> "Value":
        """``self + other``: a node with operands ``(self, other)`` and ``_op`` ``"+"``.

        ``other`` is a Value or a plain number. ``a + a`` is allowed.
        """
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other), "+")

        def _backward():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out

    def __radd__(self, other: float) -> "Value":
        """``other + self`` for a plain number ``other``, so that ``sum(values)`` works too."""
        return self + other

    def __mul__(self, other: "Value | float") -> "Value":
        """``self * other``: a node with operands ``(self, other)`` and ``_op`` ``"*"``.

        ``other`` is a Value or a plain number. ``a * a`` is allowed.
        """
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), "*")

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def __rmul__(self, other: float) -> "Value":
        """``other * self`` for a plain number ``other``."""
        return self * other

    def __pow__(self, k: float) -> "Value":
        """``self ** k`` for a plain number ``k``: a node with the operand ``(self,)``.

        Its ``_op`` is ``"**"`` followed by ``k``, for example ``"**3"``. For ``k == 0`` the
        derivative is 0 everywhere, at ``self.data == 0`` too. Raises TypeError if ``k`` is a Value.
        """
        out = Value(self.data**k, (self,), f"**{k}")

        def _backward():
            if k != 0:
                self.grad += k * self.data ** (k - 1) * out.grad

        out._backward = _backward
        return out

    def relu(self) -> "Value":
        """max(0, self): a node with the operand ``(self,)`` and ``_op`` ``"relu"``.

        The derivative at ``self.data == 0`` is 0.
        """
        out = Value(max(0.0, self.data), (self,), "relu")

        def _backward():
            if self.data > 0:
                self.grad += out.grad

        out._backward = _backward
        return out

    def exp(self) -> "Value":
        """e to the power of self: a node with the operand ``(self,)`` and ``_op`` ``"exp"``."""
        out = Value(math.exp(self.data), (self,), "exp")

        def _backward():
            self.grad += out.data * out.grad

        out._backward = _backward
        return out

    def tanh(self) -> "Value":
        """Hyperbolic tangent: a node with the operand ``(self,)`` and ``_op`` ``"tanh"``.

        Value and derivative are finite for every finite ``self.data``, such as 1000 and -1000.
        """
        out = Value(math.tanh(self.data), (self,), "tanh")

        def _backward():
            self.grad += (1 - out.data**2) * out.grad

        out._backward = _backward
        return out

    def backward(self) -> None:
        """Reverse mode: find dL/d(node) for every node that ``L = self`` depends on.

        Sets ``self.grad`` to 1 and calls the ``_backward`` of each node once, at a moment when
        the node's ``grad`` is complete. What the leaves' ``grad`` held before stays in the sum:
        after ``L1.backward()`` and ``L2.backward()`` on two graphs with a common leaf, its
        ``grad`` is d(L1 + L2)/d(leaf).
        """
        self.grad = 1.0
        for node in reversed(topological_order(self)):
            node._backward()


def topological_order(root: Value) -> list[Value]:
    """The nodes of ``root``'s graph, each once and after all of its operands; ``root`` is last.

    The graph consists of ``root`` and everything reached from it through ``_prev``. If several
    orders fit, any will do. A graph may be a chain of 5000 nodes, far deeper than Python's
    recursion limit.
    """
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, operands_done = stack.pop()
        if operands_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(operand, False) for operand in node._prev]
    return order


class Neuron:
    """``nin`` weights ``w``, a bias ``b`` and an activation: "tanh", "relu" or "linear" (none)."""

    def __init__(self, nin: int, rng: random.Random, activation: str = "tanh"):
        self.w = [Value(rng.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0.0)
        self.activation = activation

    def __call__(self, x: Sequence[Value | float]) -> Value:
        """The activation of w . x + b, where ``x`` holds ``nin`` Values or plain numbers.

        Raises ValueError if ``x`` has another length.
        """
        z = self.b
        for w, xi in zip(self.w, x, strict=True):
            z = z + w * xi
        return z if self.activation == "linear" else getattr(z, self.activation)()

    def parameters(self) -> list[Value]:
        """The ``nin + 1`` parameters: the weights in order, then the bias."""
        return [*self.w, self.b]


class Layer:
    """``nout`` neurons side by side, each with ``nin`` inputs and the same activation."""

    def __init__(self, nin: int, nout: int, rng: random.Random, activation: str = "tanh"):
        """Sets ``self.neurons``, a list of ``nout`` separate Neurons drawn from ``rng``."""
        self.neurons = [Neuron(nin, rng, activation) for _ in range(nout)]

    def __call__(self, x: Sequence[Value | float]) -> list[Value]:
        """The outputs of the neurons on the same ``x``: a list, also when ``nout`` is 1."""
        return [neuron(x) for neuron in self.neurons]

    def parameters(self) -> list[Value]:
        """The parameters of the first neuron, then of the second, and so on."""
        return [p for neuron in self.neurons for p in neuron.parameters()]


class MLP:
    """A multi-layer perceptron: ``nin`` inputs, then one layer for each number in ``nouts``."""

    def __init__(
        self, nin: int, nouts: Sequence[int], rng: random.Random, activation: str = "tanh"
    ):
        """Sets ``self.layers``, a list of ``len(nouts)`` Layers drawn from ``rng``, in order.

        ``nouts[i]`` is the number of neurons of layer i. All layers have ``activation``, except
        the last, which is "linear".
        """
        sizes = [nin, *nouts]
        kinds = [activation] * (len(nouts) - 1) + ["linear"]
        self.layers = [
            Layer(sizes[i], sizes[i + 1], rng, kind) for i, kind in enumerate(kinds)
        ]

    def __call__(self, x: Sequence[Value | float]) -> Value | list[Value]:
        """The last layer's outputs, each layer fed with the one before and the first with ``x``.

        A list of ``nouts[-1]`` Values; if that is 1, the Value itself instead of a list of one.
        """
        for layer in self.layers:
            x = layer(x)
        return x[0] if len(x) == 1 else x

    def parameters(self) -> list[Value]:
        """The parameters of the first layer, then of the second, and so on."""
        return [p for layer in self.layers for p in layer.parameters()]

    def zero_grad(self) -> None:
        """Sets the ``grad`` of every parameter to 0 and leaves its ``data`` as it is."""
        for p in self.parameters():
            p.grad = 0.0


def mse_loss(predictions: Sequence[Value], targets: Sequence[float]) -> Value:
    """The mean over i of (predictions[i] - targets[i])^2, as a Value to call backward() on.

    Raises ValueError if the two lengths differ.
    """
    errors = [(p - t) ** 2 for p, t in zip(predictions, targets, strict=True)]
    return sum(errors) / len(errors)


def train_step(model: MLP, xs: Sequence[float], ys: Sequence[float], lr: float) -> float:
    """One step of gradient descent on the mean squared error over all pairs of xs and ys.

    ``model`` has one input and one output. Every parameter p becomes p - lr dloss/dp, all
    derivatives taken before any parameter moves. Returns the loss before the step, a ``float``.
    What the parameters' ``grad`` held before the call has no influence.
    """
    loss = mse_loss([model([x]) for x in xs], ys)
    model.zero_grad()
    loss.backward()
    for p in model.parameters():
        p.data -= lr * p.grad
    return loss.data


def fit_quadratic(seed: int, steps: int = 150) -> tuple[MLP, list[float]]:
    """Train an MLP with one input and one output on 3x^2 - 4x + 5 for x in [-1, 1].

    Returns ``(model, losses)``. ``model([x])`` is the prediction for the number x; the mean
    squared error over 41 evenly spaced points from -1 to 1 is below 0.1, whatever the seed from
    0 to 999. ``losses`` holds ``steps`` floats, each the loss of one call of ``train_step``. Width,
    training points, learning rate and the default of ``steps`` are yours to choose, so that a call
    takes about a second at most. The weights are drawn from ``random.Random(seed)``: a seed gives
    the same result at every call, and another seed starts from another network.
    """
    xs = [i / 4 for i in range(-4, 5)]
    ys = [3 * x**2 - 4 * x + 5 for x in xs]
    model = MLP(1, [8, 1], random.Random(seed))
    losses = [train_step(model, xs, ys, lr=0.07) for _ in range(steps)]
    return model, losses


class Dual(Arithmetic):
    """A number and its derivative along one direction: ``data + tangent * epsilon``.

    epsilon is not zero, but its square is. An operation returns a new Dual whose ``tangent`` is
    the derivative of the result, and leaves its operands as they are. No graph is kept. A plain
    ``int`` or ``float`` stands for a Dual with tangent 0. (Baydin et al., section 3.1.1.)
    """

    def __init__(self, data: float, tangent: float = 0.0):
        self.data = data
        self.tangent = tangent

    def __repr__(self) -> str:
        return f"Dual(data={self.data:.6g}, tangent={self.tangent:.6g})"

    def __radd__(self, other):
        return Dual(other) + self

    def __rmul__(self, other):
        return Dual(other) * self

    def __add__(self, other: "Dual | float") -> "Dual":
        """``self + other``, where ``other`` is a Dual or a plain number."""
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.data + other.data, self.tangent + other.tangent)

    def __mul__(self, other: "Dual | float") -> "Dual":
        """``self * other``, where ``other`` is a Dual or a plain number."""
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(
            self.data * other.data, self.tangent * other.data + self.data * other.tangent
        )

    def __pow__(self, k: float) -> "Dual":
        """``self ** k`` for a plain number ``k``; for ``k == 0`` the tangent is 0 everywhere."""
        slope = k * self.data ** (k - 1) if k != 0 else 0.0
        return Dual(self.data**k, slope * self.tangent)

    def relu(self) -> "Dual":
        """max(0, self), with tangent 0 at ``self.data == 0``."""
        return Dual(max(0.0, self.data), self.tangent if self.data > 0 else 0.0)

    def exp(self) -> "Dual":
        """e to the power of self."""
        y = math.exp(self.data)
        return Dual(y, y * self.tangent)

    def tanh(self) -> "Dual":
        """Hyperbolic tangent; finite for every finite ``self.data``."""
        y = math.tanh(self.data)
        return Dual(y, (1 - y**2) * self.tangent)


def jvp(f: Callable[[list], list], x: Sequence[float], v: Sequence[float]) -> list[float]:
    """The Jacobian-vector product J v of ``f`` at ``x``, in forward mode.

    ``f`` takes a list of n numbers and returns a list of m, computed with ``+ - * / **``,
    ``relu``, ``exp`` and ``tanh``, so that it works on Duals and on Values alike. J has entries
    J[i][j] = df_i/dx_j, and ``v`` has n entries. Returns m floats, with a single call of ``f``.
    """
    return [y.tangent for y in f([Dual(xj, vj) for xj, vj in zip(x, v, strict=True)])]


def vjp(f: Callable[[list], list], x: Sequence[float], g: Sequence[float]) -> list[float]:
    """The vector-Jacobian product g^T J of ``f`` at ``x``, in reverse mode.

    ``f`` and J are as for :func:`jvp`, and ``g`` has m entries. An output may be an input itself,
    and the same node may be returned twice. Returns n floats, 0 for an input that ``f`` does not
    use, with a single call of ``f``.
    """
    inputs = [Value(xj) for xj in x]
    total = Value(0.0)
    for gi, y in zip(g, f(inputs), strict=True):
        total = total + gi * y
    total.backward()
    return [xj.grad for xj in inputs]


def quiz_answers() -> dict[str, str]:
    """Your answers to the quiz above: keys ``"q1"`` to ``"q8"``, values ``"a"`` to ``"d"``."""
    return {
        "q1": "c",
        "q2": "b",
        "q3": "d",
        "q4": "a",
        "q5": "c",
        "q6": "b",
        "q7": "a",
        "q8": "d",
    }
