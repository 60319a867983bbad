"""Day 5 a second time: index arrays, einsum over sliding windows, Kronecker products, float32."""

import math

import numpy as np
from ladder.earlier.day03_tensor_autograd import Tensor
from ladder.earlier.day04_layers_and_sgd import Linear, ReLU, Sequential
from numpy.lib.stride_tricks import sliding_window_view


def out_size(n, k, stride=1, pad=0):
    starts = range(0, n + 2 * pad - k + 1, stride)
    if not starts:
        raise ValueError("too large a window")
    return len(starts)


def conv_toeplitz(w, H, W):
    kh, kw = w.shape
    Ho, Wo = out_size(H, kh), out_size(W, kw)
    total = np.zeros((Ho * Wo, H * W))
    for a in range(kh):
        for b in range(kw):
            total += w[a, b] * np.kron(np.eye(Ho, H, a), np.eye(Wo, W, b))
    return total


def _index(shape, kh, kw, stride, pad):
    """Where in the raveled padded image every entry of the columns comes from, (K, L)."""
    _, C, H, W = shape
    padded = np.arange(C * (H + 2 * pad) * (W + 2 * pad)).reshape(C, H + 2 * pad, W + 2 * pad)
    if H + 2 * pad < kh or W + 2 * pad < kw:
        raise ValueError("no window fits")
    v = sliding_window_view(padded, (kh, kw), axis=(1, 2))[:, ::stride, ::stride]
    return v.transpose(0, 3, 4, 1, 2).reshape(C * kh * kw, -1)


def im2col(x, kh, kw, stride=1, pad=0):
    index = _index(x.shape, kh, kw, stride, pad)
    B, C, H, W = x.shape
    padded = np.zeros((B, C, H + 2 * pad, W + 2 * pad), dtype=np.float32)
    padded[:, :, pad:H + pad, pad:W + pad] = x
    return padded.reshape(B, -1)[:, index]


def col2im(cols, shape, kh, kw, stride=1, pad=0):
    B, C, H, W = shape
    index = _index(shape, kh, kw, stride, pad)
    size = C * (H + 2 * pad) * (W + 2 * pad)
    every = (np.arange(B)[:, None] * size + index.ravel()).ravel()
    total = np.bincount(every, weights=np.asarray(cols).ravel(), minlength=B * size)
    total = total.reshape(B, C, H + 2 * pad, W + 2 * pad)
    return total[:, :, pad:H + pad, pad:W + pad].copy()


def _padded(x, pad):
    return np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])


def conv2d_forward(x, w, stride=1, pad=0):
    v = sliding_window_view(_padded(x, pad), w.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("bcijad,ocad->boij", v, w, optimize=True)


def conv2d_backward(dY, x, w, stride=1, pad=0, need_dx=True):
    B, O, Ho, Wo = dY.shape
    _, _, kh, kw = w.shape
    padded = _padded(x, pad)
    v = sliding_window_view(padded, (kh, kw), axis=(2, 3))[:, :, ::stride, ::stride]
    dw = np.einsum("bcijad,boij->ocad", v, dY, optimize=True)
    if not need_dx:
        return None, dw
    # The transposed convolution: dY spread out by the stride, met by the turned kernel.
    H, W = padded.shape[2:]
    spread = np.zeros((B, O, H + kh - 1, W + kw - 1))
    spread[:, :, kh - 1:kh - 1 + stride * Ho:stride, kw - 1:kw - 1 + stride * Wo:stride] = dY
    turned = np.flip(w, (2, 3)).swapaxes(0, 1)
    dx = conv2d_forward(spread, turned)
    return dx[:, :, pad:H - pad, pad:W - pad], dw


class Conv2d:
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, rng=None):
        draw = (rng or np.random.default_rng()).random
        n = in_channels * kernel_size * kernel_size
        self.bias = Tensor((2 * draw(out_channels) - 1) / math.sqrt(n))
        size = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = Tensor((draw(size) - 0.5) * math.sqrt(24 / n))
        self.how = stride, padding

    def __call__(self, x):
        w = self.weight

        def back(g):
            dx, dw = conv2d_backward(g, x.data, w.data, *self.how)
            w.accumulate(dw)
            x.accumulate(dx)

        y = Tensor(conv2d_forward(x.data, w.data, *self.how), _prev=(x, w), _backward=back)
        return y + self.bias.reshape(-1, 1, 1)

    def parameters(self):
        return self.weight, self.bias


class _Pool:
    def __init__(self, kernel_size, stride=None):
        self.k, self.s = kernel_size, stride or kernel_size

    def columns(self, x):
        """(B * C, k * k, L), every channel as a picture of its own."""
        B, C, H, W = x.shape
        Ho, Wo = out_size(H, self.k, self.s), out_size(W, self.k, self.s)
        v = sliding_window_view(x, (self.k, self.k), axis=(2, 3))[:, :, ::self.s, ::self.s]
        return v.transpose(0, 1, 4, 5, 2, 3).reshape(B * C, -1, Ho * Wo), (B, C, Ho, Wo)

    def images(self, cols, shape):
        B, C, H, W = shape
        return col2im(cols, (B * C, 1, H, W), self.k, self.k, self.s).reshape(shape)

    def parameters(self):
        return ()


class MaxPool2d(_Pool):
    def forward(self, x):
        cols, shape = self.columns(x)
        first = np.argmax(cols, axis=1, keepdims=True)
        return np.take_along_axis(cols, first, 1).reshape(shape), {"at": first, "x": x.shape}

    def backward(self, dy, cache):
        first = cache["at"]
        cols = np.zeros((len(first), self.k**2, first.shape[2]))
        np.put_along_axis(cols, first, dy.reshape(first.shape), 1)
        return self.images(cols, cache["x"])

    def __call__(self, x):
        y, cache = self.forward(x.data)
        return Tensor(y, _prev=[x], _backward=lambda g: x.accumulate(self.backward(g, cache)))


class AvgPool2d(_Pool):
    def forward(self, x):
        cols, shape = self.columns(x)
        return cols.mean(axis=1).reshape(shape)

    def backward(self, dy, shape):
        flat = dy.reshape(shape[0] * shape[1], 1, -1) / self.k / self.k
        return self.images(np.repeat(flat, self.k * self.k, axis=1), shape)

    def __call__(self, x):
        return Tensor(self.forward(x.data), _prev=[x],
                      _backward=lambda g: x.accumulate(self.backward(g, x.shape)))


class _Image:
    def __init__(self, side):
        self.side = side

    def __call__(self, x):
        return x.reshape(-1, 1, self.side, self.side)

    def parameters(self):
        return ()


class Flatten:
    def __call__(self, x):
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def parameters(self):
        return ()


def small_cnn(rng, side=28, channels=(8, 16)):
    layers, before, n = [_Image(side)], 1, side
    for after in channels:
        layers += [Conv2d(before, after, 5, rng=rng), MaxPool2d(2), ReLU()]
        before, n = after, (n - 4) // 2
    return Sequential(*layers, Flatten(), Linear(before * n * n, 10, rng))
