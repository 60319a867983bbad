"""Day 5: convolution as a matrix product, pooling, and a small CNN on Day 3's Tensor.

"Convolution" is cross-correlation, as in PyTorch: the kernel is not flipped. Layouts are PyTorch's:
images (B, C, H, W), weights (O, C, kh, kw), columns as in ``torch.nn.functional.unfold``. Follows
Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (arXiv 1603.07285). Leaves
out dilation, groups, padding in pooling, and the FFT and Winograd algorithms.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from .day03_tensor_autograd import Tensor
from .day04_layers_and_sgd import Linear, ReLU, Sequential


def out_size(n: int, k: int, stride: int = 1, pad: int = 0) -> int:
    """How many windows of length ``k`` fit on one axis.

    ``n`` entries get ``pad`` more on either side; the first window begins at the first of these,
    each next one ``stride`` further, and all lie inside. Entries at the end that no window reaches
    are left over. Raises ValueError if not one window fits.
    """
    if n + 2 * pad < k:
        raise ValueError(f"a window of {k} does not fit in {n} + 2 * {pad}")
    return (n + 2 * pad - k) // stride + 1


def _shifts(
    x: Float[np.ndarray, "B C H W"], kh: int, kw: int, stride: int
) -> Iterator[Float[np.ndarray, "B C Ho Wo"]]:
    """For each place in the kernel, row by row, the view of what it meets in every window."""
    Ho, Wo = out_size(x.shape[2], kh, stride), out_size(x.shape[3], kw, stride)
    for i, j in np.ndindex(kh, kw):
        yield x[:, :, i:i + stride * Ho:stride, j:j + stride * Wo:stride]


def conv_toeplitz(w: Float[np.ndarray, "kh kw"], H: int, W: int) -> Float[np.ndarray, "m n"]:
    """The matrix T of the convolution of one-channel images of shape (H, W) with ``w``.

    For every image x of that shape, ``T @ x.ravel()`` is ``y.ravel()`` with

        y[i, j] = sum_{a, b} w[a, b] x[i + a, j + b],    0 <= i <= H - kh,  0 <= j <= W - kw

    (stride 1, no padding). T is a dense float64 array of shape
    ``((H - kh + 1) * (W - kw + 1), H * W)``, in which each row holds the entries of ``w`` and
    otherwise zeros. ``w`` need not be square. Raises ValueError if ``w`` does not fit in the image.
    """
    kh, kw = w.shape
    Ho, Wo = out_size(H, kh), out_size(W, kw)
    T = np.zeros((Ho, Wo, H, W))
    i, j = np.ogrid[:Ho, :Wo]
    for (a, b), value in np.ndenumerate(w):
        T[i, j, i + a, j + b] = value
    return T.reshape(Ho * Wo, H * W)


def im2col(
    x: Float[np.ndarray, "B C H W"], kh: int, kw: int, stride: int = 1, pad: int = 0
) -> Float[np.ndarray, "B K L"]:
    """Every window of an image as a column: shape ``(B, C * kh * kw, Ho * Wo)``.

    ``x`` gets ``pad`` rows and columns of zeros on each of its four sides; Ho and Wo are the
    ``out_size`` of H with kh and of W with kw. Column ``i * Wo + j`` of image b is the window that
    begins at row ``i * stride`` and column ``j * stride`` of the padded image, raveled from its
    shape (C, kh, kw). The result is an array of its own; ``x`` is left unchanged. Raises ValueError
    if no window fits.
    """
    B, C, H, W = x.shape
    Ho, Wo = out_size(H, kh, stride, pad), out_size(W, kw, stride, pad)
    if pad:
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    cols = np.empty((B, C, kh * kw, Ho, Wo), dtype=x.dtype)
    for n, part in enumerate(_shifts(x, kh, kw, stride)):
        cols[:, :, n] = part
    return cols.reshape(B, C * kh * kw, Ho * Wo)


def col2im(
    cols: Float[np.ndarray, "B K L"], shape: tuple[int, int, int, int],
    kh: int, kw: int, stride: int = 1, pad: int = 0,
) -> Float[np.ndarray, "B C H W"]:
    """The vector-Jacobian product of ``im2col`` for images of ``shape`` (B, C, H, W).

    Entry (b, c, h, w) of the result is the sum of all entries of ``cols`` to which ``im2col`` with
    the same arguments copies pixel (b, c, h, w) of an image: so for every x of ``shape``,
    ``(im2col(x, ...) * cols).sum() == (x * col2im(cols, ...)).sum()``. A pixel that lies in no
    window gets 0. ``cols`` is left unchanged.
    """
    B, C, H, W = shape
    Ho, Wo = out_size(H, kh, stride, pad), out_size(W, kw, stride, pad)
    x = np.zeros((B, C, H + 2 * pad, W + 2 * pad))
    cols = cols.reshape(B, C, kh * kw, Ho, Wo)
    for n, part in enumerate(_shifts(x, kh, kw, stride)):
        part += cols[:, :, n]
    return x[:, :, pad:pad + H, pad:pad + W]


def conv2d_forward(
    x: Float[np.ndarray, "B C H W"], w: Float[np.ndarray, "O C kh kw"],
    stride: int = 1, pad: int = 0,
) -> Float[np.ndarray, "B O Ho Wo"]:
    """The convolution of a batch of images, without bias; with x padded by zeros as in ``im2col``,

        y[b, o, i, j] = sum_{c, a, d} w[o, c, a, d] x[b, c, i * stride + a, j * stride + d]

    Neither argument is changed.
    """
    O, _, kh, kw = w.shape
    Ho, Wo = out_size(x.shape[2], kh, stride, pad), out_size(x.shape[3], kw, stride, pad)
    y = w.reshape(O, -1) @ im2col(x, kh, kw, stride, pad)
    return y.reshape(len(x), O, Ho, Wo)


def conv2d_backward(
    dY: Float[np.ndarray, "B O Ho Wo"], x: Float[np.ndarray, "B C H W"],
    w: Float[np.ndarray, "O C kh kw"], stride: int = 1, pad: int = 0, need_dx: bool = True,
) -> tuple[Float[np.ndarray, "B C H W"] | None, Float[np.ndarray, "O C kh kw"]]:
    """``(dx, dw)``: the gradients of a loss for the operands of ``conv2d_forward``.

    ``dY`` is dL/dY for Y = ``conv2d_forward(x, w, stride, pad)`` and has its shape; dx has the shape
    of x and dw that of w, where the images of the batch add up. With ``need_dx=False``, dx is None
    (and costs nothing): nobody asks for the gradient of the pictures. No argument is changed.
    """
    O, _, kh, kw = w.shape
    dY = dY.reshape(len(x), O, -1)
    cols = im2col(x, kh, kw, stride, pad)
    dw = (dY @ cols.transpose(0, 2, 1)).sum(axis=0).reshape(w.shape)
    if not need_dx:
        return None, dw
    return col2im(w.reshape(O, -1).T @ dY, x.shape, kh, kw, stride, pad), dw


class Conv2d:
    """A layer of convolutions with square kernels, and a bias for each output channel.

    ``weight`` is a Tensor of shape (O, C, k, k), ``bias`` one of shape (O,), for O = out_channels,
    C = in_channels and k = kernel_size; both are leaves that require a gradient.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int,
        stride: int = 1, padding: int = 0, rng: np.random.Generator | None = None,
    ):
        """Sets ``weight``, ``bias``, ``stride`` and ``padding``.

        As in Day 4's Linear, with n = in_channels * kernel_size^2, the number of inputs that one
        output sums up: every weight is drawn independently and uniformly from [-sqrt(6/n), sqrt(6/n)],
        every bias from [-1/sqrt(n), 1/sqrt(n)]; from ``rng``, or without it from
        ``np.random.default_rng()``.
        """
        rng = np.random.default_rng() if rng is None else rng
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        n = in_channels * kernel_size**2
        self.weight = Tensor(rng.uniform(-1, 1, size=shape) * np.sqrt(6 / n))
        self.bias = Tensor(rng.uniform(-1, 1, size=out_channels) / np.sqrt(n))
        self.stride, self.padding = stride, padding

    def __call__(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B O Ho Wo"]:
        """``conv2d_forward`` of ``x`` with ``weight``, plus ``bias[o]`` everywhere in channel o.

        Uses ``weight`` and ``bias`` as they are at the time of the call. After ``backward()`` from
        the result, ``weight`` and ``bias`` have their gradients, and so has ``x`` if it requires one;
        no time is spent on it if not.
        """
        weight, bias, stride, padding = self.weight, self.bias, self.stride, self.padding
        y = conv2d_forward(x.data, weight.data, stride, padding)
        y += bias.data[:, None, None]

        def backward(grad):
            dx, dw = conv2d_backward(
                grad, x.data, weight.data, stride, padding, x.requires_grad)
            weight.accumulate(dw)
            bias.accumulate(grad.sum(axis=(0, 2, 3)))
            if x.requires_grad:
                x.accumulate(dx)

        return Tensor(y, _prev=(x, weight, bias), _backward=backward)

    def parameters(self) -> list[Tensor]:
        """``[weight, bias]``, these Tensors themselves."""
        return [self.weight, self.bias]


class MaxPool2d:
    """The largest entry of each window of ``kernel_size`` x ``kernel_size``, channel by channel.

    Windows lie as in ``im2col`` without padding; ``stride`` is ``kernel_size`` unless given. The
    arrays' work is in ``forward`` and ``backward``; calling the layer puts them in the graph.
    """

    def __init__(self, kernel_size: int, stride: int | None = None):
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride

    def forward(self, x: Float[np.ndarray, "B C H W"]) -> tuple[np.ndarray, object]:
        """``(y, cache)``: y of shape (B, C, Ho, Wo), and whatever ``backward`` will need.

        Nothing is kept in the layer, since it may be called several times before ``backward``. ``x``
        is left unchanged. Raises ValueError if no window fits.
        """
        first, *others = _shifts(x, self.kernel_size, self.kernel_size, self.stride)
        y, winner = first.copy(), np.zeros(first.shape, dtype=int)
        for n, part in enumerate(others, start=1):
            winner[part > y] = n
            np.maximum(y, part, out=y)
        return y, (x.shape, winner)

    def backward(
        self, dy: Float[np.ndarray, "B C Ho Wo"], cache: object
    ) -> Float[np.ndarray, "B C H W"]:
        """dL/dx for the ``x`` whose ``forward`` returned ``cache``, with ``dy`` = dL/dy.

        Each entry of dy goes to the entry of x that was the largest of its window; where several are
        equally large, to the first of them in the order of the window's rows, as in PyTorch. Where
        windows overlap, gradients add up. ``dy`` is left unchanged.
        """
        shape, winner = cache
        dx = np.zeros(shape)
        parts = _shifts(dx, self.kernel_size, self.kernel_size, self.stride)
        for n, part in enumerate(parts):
            part += dy * (winner == n)
        return dx

    def __call__(self, x: Tensor) -> Tensor:
        y, cache = self.forward(x.data)
        return Tensor(y, _prev=(x,), _backward=lambda g: x.accumulate(self.backward(g, cache)))

    def parameters(self) -> list[Tensor]:
        return []


class AvgPool2d:
    """The mean of each window, with the windows of ``MaxPool2d``."""

    def __init__(self, kernel_size: int, stride: int | None = None):
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride

    def forward(self, x: Float[np.ndarray, "B C H W"]) -> Float[np.ndarray, "B C Ho Wo"]:
        """y of shape (B, C, Ho, Wo). ``x`` is left unchanged; ValueError if no window fits."""
        parts = _shifts(x, self.kernel_size, self.kernel_size, self.stride)
        return sum(parts) / self.kernel_size**2

    def backward(
        self, dy: Float[np.ndarray, "B C Ho Wo"], shape: tuple[int, int, int, int]
    ) -> Float[np.ndarray, "B C H W"]:
        """dL/dx for an ``x`` of ``shape``, with ``dy`` = dL/dy, which is left unchanged."""
        dx = np.zeros(shape)
        for part in _shifts(dx, self.kernel_size, self.kernel_size, self.stride):
            part += dy / self.kernel_size**2
        return dx

    def __call__(self, x: Tensor) -> Tensor:
        return Tensor(self.forward(x.data), _prev=(x,),
                      _backward=lambda g: x.accumulate(self.backward(g, x.shape)))

    def parameters(self) -> list[Tensor]:
        return []


class Unflatten:
    """Rows of numbers as images: (B, C * H * W) to (B, C, H, W), a layer without parameters."""

    def __init__(self, *shape: int):
        self.shape = shape

    def __call__(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.shape)

    def parameters(self) -> list[Tensor]:
        return []


class Flatten:
    """Everything but the first axis as one axis, a layer without parameters."""

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` of shape (B, ...) as a Tensor of shape (B, n), the entries in C order."""
        return x.reshape(len(x), -1)

    def parameters(self) -> list[Tensor]:
        """An empty list."""
        return []


def small_cnn(
    rng: np.random.Generator, side: int = 28, channels: tuple[int, int] = (8, 16)
) -> Sequential:
    """A CNN for the ten digits: a Tensor (B, side * side) in, logits (B, 10) out.

    Unflatten to one channel of (side, side), then twice in a row: Conv2d with 5x5 kernels, stride 1
    and no padding to ``channels[0]``, the second time to ``channels[1]`` channels; ReLU; MaxPool2d of
    2x2. Then Flatten, and Linear to 10 logits. ``side`` is at least 16; sides that do not divide
    evenly, 19 for example, lose the rows that the pooling leaves over. The layers with parameters
    are drawn from ``rng`` in this order.
    """
    first, second = channels
    rest = out_size(out_size(side, 5), 2, stride=2)
    rest = out_size(out_size(rest, 5), 2, stride=2)
    return Sequential(
        Unflatten(1, side, side),
        Conv2d(1, first, 5, rng=rng), ReLU(), MaxPool2d(2),
        Conv2d(first, second, 5, rng=rng), ReLU(), MaxPool2d(2),
        Flatten(), Linear(second * rest**2, 10, rng),
    )
