"""Checks of Day 5: what to observe of windows, convolution, pooling, and a small CNN."""

import functools

import numpy as np

from ladder.checks import at_most, check, close, raises, say


def leaf(Tensor, array, requires_grad=True):
    """A Tensor of a copy, so that no learner's code changes what another observation needs."""
    return Tensor(np.array(array), requires_grad=requires_grad)


def filled(layer, seed):
    """``layer``, its parameters replaced by small numbers, in the order of parameters()."""
    rng = np.random.default_rng(seed)
    for p in layer.parameters():
        p.data = rng.normal(size=p.data.shape, scale=0.3)
    return layer


def geometry(shape, kernel, stride, pad):
    """Two fragments of a label that say how the windows lie."""
    return (f"x {shape}, kernel {kernel}, stride {stride}, pad {pad}",
            f"x {shape}、卷积核 {kernel}、步幅 {stride}、填充 {pad}")


def windows(shape, kernel, stride, pad):
    """How many windows fit, down and across."""
    return [(n + 2 * pad - k) // stride + 1 for n, k in zip(shape[2:], kernel, strict=True)]


# Shape of x, kernel, stride, pad: several channels and pictures, odd sizes, rows left over.
GEOMETRIES = (
    ((1, 1, 3, 4), (2, 2), 1, 0), ((2, 3, 4, 5), (2, 3), 1, 0), ((2, 2, 5, 4), (3, 2), 1, 1),
    ((1, 2, 7, 6), (3, 2), 2, 0), ((2, 1, 6, 5), (2, 3), 3, 2), ((3, 2, 4, 6), (1, 1), 2, 0),
    ((2, 2, 3, 4), (3, 4), 1, 0),
)


# ----------------------------------------------------------------------------- out_size


@check(forbids=("torch",))
def check_out_size(out_size, rng):
    """How many windows fit on one axis."""
    for n, k, stride, pad in (
        (28, 5, 1, 0), (9, 9, 1, 0), (9, 1, 1, 0), (10, 3, 1, 1), (12, 2, 2, 0), (13, 2, 2, 0),
        (14, 3, 4, 0), (16, 3, 4, 0), (7, 3, 2, 2), (2, 5, 1, 2), (224, 7, 2, 3),
    ):
        yield (say(f"n = {n}, window {k}, stride {stride}, pad {pad}",
                   f"n = {n}、窗口 {k}、步幅 {stride}、填充 {pad}"),
               lambda: out_size(n, k, stride, pad))
    yield say("n = 8, window 3, nothing else given", "n = 8、窗口 3、其余用默认值"), lambda: out_size(8, 3)
    yield (say("a window of 4 in 3 entries", "长度为 3 却要放下 4 的窗口"),
           lambda: out_size(3, 4, 2), raises(ValueError))
    yield (say("a window of 8 in 3 entries with pad 2", "长度为 3、填充 2，窗口 8"),
           lambda: out_size(3, 8, 1, 2), raises(ValueError))


@check_out_size.hidden
def _(out_size, rng):
    for _ in range(12):
        n, k, stride, pad = (int(m) for m in rng.integers((6, 1, 1, 0), (40, 7, 6, 4)))
        yield (say(f"n = {n}, window {k}, stride {stride}, pad {pad}",
                   f"n = {n}、窗口 {k}、步幅 {stride}、填充 {pad}"),
               lambda: out_size(n, k, stride, pad))


check_out_size.mistake(
    say("One too few everywhere: a window as long as the axis fits exactly once.",
        "处处少 1：和轴一样长的窗口正好放得下一个。"),
    within="out_size", replace={" // stride + 1": " // stride"},
)
check_out_size.mistake(
    say("The padding is counted once. On how many sides is it added?",
        "填充只算了一次。它加在几侧？"),
    within="out_size", replace={"(n + 2 * pad - k)": "(n + pad - k)", "if n + 2 * pad < k":
                                "if n + pad < k"},
)
check_out_size.mistake(
    say("Where the stride does not divide evenly, one window too many: its end lies outside.",
        "步幅不能整除时多出一个窗口：它的末端已经在外面了。"),
    within="out_size", replace={"(n + 2 * pad - k) // stride": "-(-(n + 2 * pad - k) // stride)"},
)
check_out_size.mistake(
    say("The number of windows is divided by the stride. Count the steps that the first window can take "
        "instead.",
        "这里用窗口总数除以步幅。不妨改数第一个窗口还能走几步。"),
    within="out_size",
    replace={"(n + 2 * pad - k) // stride + 1": "(n + 2 * pad - k + 1) // stride"},
)
check_out_size.mistake(
    say("Where no window fits, a number comes back, and the error shows up far away.",
        "一个窗口都放不下时仍返回了数，错误会在很远的地方才暴露。"),
    within="out_size", replace={"if n + 2 * pad < k": "if False"},
)
check_out_size.mistake(
    say("A window that fits exactly is refused.", "正好放得下的窗口被拒绝了。"),
    within="out_size", replace={"< k": "<= k"},
)


# -------------------------------------------------------------------------- conv_toeplitz


@check(forbids=("torch",))
def check_conv_toeplitz(conv_toeplitz, rng):
    """Convolution written as one sparse matrix."""
    for (kh, kw), H, W in (
        ((1, 2), 1, 4), ((2, 2), 3, 3), ((2, 3), 4, 5), ((3, 2), 3, 4), ((1, 1), 2, 3), ((3, 3), 5, 4),
    ):
        w, x = rng.normal(size=(kh, kw)), rng.normal(size=(H, W))
        en, zh = f"w ({kh}, {kw}), image ({H}, {W})", f"w ({kh}, {kw})、图像 ({H}, {W})"
        yield say(f"{en}: shape of T", f"{zh}：T 的形状"), lambda: list(conv_toeplitz(w, H, W).shape)
        yield say(f"{en}: T", f"{zh}：T"), lambda: conv_toeplitz(w.copy(), H, W)
        yield say(f"{en}: T @ x.ravel()", f"{zh}：T @ x.ravel()"), lambda: (
            np.asarray(conv_toeplitz(w.copy(), H, W)) @ x.ravel())
    w = rng.normal(size=(3, 2))
    yield (say("w (3, 2) does not fit in an image (2, 5)", "w (3, 2) 放不进图像 (2, 5)"),
           lambda: conv_toeplitz(w, 2, 5), raises(ValueError))
    yield (say("w (3, 2) does not fit in an image (4, 1)", "w (3, 2) 放不进图像 (4, 1)"),
           lambda: conv_toeplitz(w, 4, 1), raises(ValueError))


check_conv_toeplitz.mistake(
    say("The kernel is turned by 180 degrees, as in mathematics. The equation of the task does not turn it.",
        "卷积核被旋转了 180 度，那是数学中的卷积。题目的公式并不翻转。"),
    within="conv_toeplitz", replace={"np.ndenumerate(w)": "np.ndenumerate(w[::-1, ::-1])"},
)
check_conv_toeplitz.mistake(
    say("T maps outputs to pixels. How many rows does a matrix need to give one number for each output?",
        "T 把输出映到了像素。每个输出得一个数，矩阵应有多少行？"),
    within="conv_toeplitz", replace={"T.reshape(Ho * Wo, H * W)": "T.reshape(Ho * Wo, H * W).T"},
)
check_conv_toeplitz.mistake(
    say("A step down the image is as long as a row of the *output*. How many entries of x.ravel() lie "
        "between a pixel and the one below it?",
        "向下一行的步长用了*输出*的行长。在 x.ravel() 中，一个像素与它正下方的像素相隔多少个元素？"),
    within="conv_toeplitz",
    replace={"T[i, j, i + a, j + b] = value":
             "T.reshape(Ho * Wo, H * W)[i * Wo + j, (i + a) * Wo + j + b] = value"},
)
check_conv_toeplitz.mistake(
    say("The windows do not move: every row of T looks at the top left corner.",
        "窗口没有移动：T 的每一行看的都是左上角。"),
    within="conv_toeplitz", replace={"T[i, j, i + a, j + b]": "T[i, j, a, b]"},
)
check_conv_toeplitz.mistake(
    say("The windows move across but not down.", "窗口只横向移动，没有向下移动。"),
    within="conv_toeplitz", replace={"T[i, j, i + a, j + b]": "T[i, j, a, j + b]"},
)
check_conv_toeplitz.mistake(
    say("Where the kernel does not fit, an empty matrix comes back in place of an error.",
        "卷积核放不下时返回了空矩阵，而不是报错。"),
    within="conv_toeplitz",
    replace={"Ho, Wo = out_size(H, kh), out_size(W, kw)":
             "Ho, Wo = max(H - kh + 1, 0), max(W - kw + 1, 0)"},
)


# -------------------------------------------------------------------------- im2col, col2im


@check(forbids=("torch",))
def check_im2col(im2col, rng):
    """Every window as a column."""
    yield (say("the picture [[0, 1, 2], [3, 4, 5], [6, 7, 8]], kernel (2, 2)",
               "图像 [[0, 1, 2], [3, 4, 5], [6, 7, 8]]、卷积核 (2, 2)"),
           lambda: im2col(np.arange(9.0).reshape(1, 1, 3, 3), 2, 2))
    for shape, kernel, stride, pad in GEOMETRIES:
        x = rng.normal(size=shape)
        en, zh = geometry(shape, kernel, stride, pad)
        yield (say(f"{en}: shape", f"{zh}：形状"),
               lambda: list(im2col(x.copy(), *kernel, stride, pad).shape))
        yield (say(f"{en}: columns", f"{zh}：各列"),
               lambda: im2col(x.copy(), *kernel, stride, pad))

    def own(kernel, pad):
        x = np.ones((1, 2, 3, 4))
        im2col(x, *kernel, 1, pad)[:] = 5.0
        return x

    for kernel, pad in (((1, 1), 0), ((2, 2), 1)):
        yield (say(f"kernel {kernel}, pad {pad}: x, after the columns were overwritten",
                   f"卷积核 {kernel}、填充 {pad}：改写各列之后的 x"), lambda: own(kernel, pad))
    yield (say("a kernel (4, 2) in x (1, 1, 3, 3)", "x (1, 1, 3, 3) 中放卷积核 (4, 2)"),
           lambda: im2col(np.ones((1, 1, 3, 3)), 4, 2), raises(ValueError))


@check_im2col.hidden
def _(im2col, rng):
    for _ in range(5):
        shape = tuple(int(n) for n in rng.integers((1, 1, 5, 5), (4, 4, 10, 10)))
        kernel = tuple(int(n) for n in rng.integers(1, 5, size=2))
        stride, pad = int(rng.integers(1, 4)), int(rng.integers(0, 3))
        x = rng.normal(size=shape)
        yield say(*geometry(shape, kernel, stride, pad)), lambda: im2col(x, *kernel, stride, pad)


check_im2col.mistake(
    say("Windows are rows here. The task asks for columns: shape (B, C * kh * kw, Ho * Wo).",
        "这里窗口成了行。题目要的是列：形状为 (B, C * kh * kw, Ho * Wo)。"),
    within="im2col",
    replace={"return cols.reshape(B, C * kh * kw, Ho * Wo)":
             "return cols.reshape(B, C * kh * kw, Ho * Wo).transpose(0, 2, 1)"},
)
check_im2col.mistake(
    say("Within a column the channels come last. A window is raveled from (C, kh, kw).",
        "每一列中通道排在了最后。窗口是从 (C, kh, kw) 展平的。"),
    within="im2col",
    replace={"return cols.reshape(": "return cols.transpose(0, 2, 1, 3, 4).reshape("},
)
check_im2col.mistake(
    say("Within a column the window is read column by column. A window is raveled from (C, kh, kw).",
        "每一列中窗口是逐列读出的。窗口是从 (C, kh, kw) 展平的。"),
    within="im2col",
    replace={"return cols.reshape(":
             "return cols.reshape(B, C, kh, kw, Ho, Wo).swapaxes(2, 3).reshape("},
)
check_im2col.mistake(
    say("The windows are numbered down first. Which number has the window to the right of window 0?",
        "窗口是先往下编号的。0 号窗口右边的窗口是几号？"),
    within="im2col", replace={"return cols.reshape(": "return cols.swapaxes(3, 4).reshape("},
)
check_im2col.mistake(
    say("Neighbouring windows are one pixel apart, whatever the stride.",
        "不管步幅是多少，相邻窗口总是相隔一个像素。"),
    within="im2col",
    replace={"enumerate(_shifts(x, kh, kw, stride))": "enumerate(_shifts(x, kh, kw, 1))",
             "] = part": "] = part[:, :, :Ho, :Wo]"},
)
check_im2col.mistake(
    say("The zeros are all added below and to the right. They belong on all four sides.",
        "零全部补在了下边和右边。四条边都应当补。"),
    within="im2col",
    replace={"((0, 0), (0, 0), (pad, pad), (pad, pad))": "((0, 0), (0, 0), (0, 2 * pad), (0, 2 * pad))"},
)
check_im2col.mistake(
    say("The padding repeats the border pixels. The task asks for zeros.",
        "填充重复了边界像素。题目要的是零。"),
    within="im2col", replace={"(pad, pad), (pad, pad)))": "(pad, pad), (pad, pad)), mode='edge')"},
)
check_im2col.mistake(
    say("With a 1x1 kernel the result shares its memory with x.",
        "卷积核为 1x1 时，结果与 x 共用内存。"),
    within="im2col",
    replace={"    cols = np.empty(":
             "    if kh == kw == stride == 1:\n        return x.reshape(B, C, -1)\n    cols = np.empty("},
)


@check(forbids=("torch",))
def check_col2im(col2im, rng):
    """im2col run backwards: sum over the copies."""
    yield (say("columns of ones for a picture (3, 3), kernel (2, 2): how many windows hold each pixel",
               "图像 (3, 3)、卷积核 (2, 2)，各列全为 1：每个像素在几个窗口中"),
           lambda: col2im(np.ones((1, 4, 4)), (1, 1, 3, 3), 2, 2))
    for shape, kernel, stride, pad in GEOMETRIES:
        Ho, Wo = windows(shape, kernel, stride, pad)
        cols = rng.normal(size=(shape[0], shape[1] * kernel[0] * kernel[1], Ho * Wo))
        en, zh = geometry(shape, kernel, stride, pad)
        yield (say(f"{en}: shape", f"{zh}：形状"),
               lambda: list(col2im(cols.copy(), shape, *kernel, stride, pad).shape))
        yield (say(f"{en}: sums", f"{zh}：各处的和"),
               lambda: col2im(cols.copy(), shape, *kernel, stride, pad))
    cols = rng.normal(size=(1, 8, 6))

    def kept():
        col2im(cols, (1, 2, 3, 4), 2, 2)[:] = 0.0
        return cols

    yield say("the columns afterwards", "调用之后的各列"), kept


@check_col2im.hidden
def _(col2im, rng):
    for _ in range(5):
        shape = tuple(int(n) for n in rng.integers((1, 1, 5, 5), (4, 4, 10, 10)))
        kernel = tuple(int(n) for n in rng.integers(1, 5, size=2))
        stride, pad = int(rng.integers(1, 4)), int(rng.integers(0, 3))
        Ho, Wo = windows(shape, kernel, stride, pad)
        cols = rng.normal(size=(shape[0], shape[1] * kernel[0] * kernel[1], Ho * Wo))
        yield (say(*geometry(shape, kernel, stride, pad)),
               lambda: col2im(cols, shape, *kernel, stride, pad))


check_col2im.mistake(
    say("Where windows overlap, one value has replaced the others. A pixel that was copied four times "
        "receives four gradients.",
        "窗口重叠处，一个值覆盖了其余的值。被复制四次的像素会收到四份梯度。"),
    within="col2im", replace={"part += cols[:, :, n]": "part[...] = cols[:, :, n]"},
)
check_col2im.mistake(
    say("Overlaps are averaged, so that col2im undoes im2col. The gradient of copying is a sum, not an "
        "inverse.",
        "重叠处取了平均，col2im 就成了 im2col 的逆。复制的梯度是求和，而不是求逆。"),
    within="col2im",
    replace={"    cols = cols.reshape(":
             "    hits = np.zeros_like(x)\n    for part in _shifts(hits, kh, kw, stride):\n"
             "        part += 1\n    cols = cols.reshape(",
             "    return x[": "    x /= np.maximum(hits, 1)\n    return x["},
)
check_col2im.mistake(
    say("The padding is cut off on one side only. Where does pixel (0, 0) lie in the padded image?",
        "填充只从一侧裁掉了。像素 (0, 0) 在填充后的图像中位于哪里？"),
    within="col2im", replace={"x[:, :, pad:pad + H, pad:pad + W]": "x[:, :, :H, :W]"},
)
check_col2im.mistake(
    say("The gradient of the zeros around the image is still there; nobody asks for it.",
        "图像四周那些零的梯度还留着，而没有人需要它。"),
    within="col2im", replace={"return x[:, :, pad:pad + H, pad:pad + W]": "return x"},
)
check_col2im.mistake(
    say("The channels are taken to be the last part of a column. im2col put them first.",
        "把通道当成了列的最后一部分。im2col 把它放在最前。"),
    within="col2im",
    replace={"cols.reshape(B, C, kh * kw, Ho, Wo)": "cols.reshape(B, kh * kw, C, Ho, Wo).swapaxes(1, 2)"},
)
check_col2im.mistake(
    say("The places in the kernel are run through backwards: row 0 of a window's column belongs to its "
        "upper left pixel.",
        "卷积核中的位置是倒着走的：窗口那一列的第 0 行对应它左上角的像素。"),
    within="col2im", replace={"cols[:, :, n]": "cols[:, :, -1 - n]"},
)
check_col2im.mistake(
    say("The windows are taken to be numbered down first; im2col numbers them across first.",
        "把窗口当成先往下编号的了；im2col 是先横着编号。"),
    within="col2im",
    replace={"cols.reshape(B, C, kh * kw, Ho, Wo)": "cols.reshape(B, C, kh * kw, Wo, Ho).swapaxes(3, 4)"},
)


# ------------------------------------------------------------------------------ convolution


CONVOLUTIONS = (
    ((2, 1, 3, 4), (1, 1, 2, 2), 1, 0), ((2, 3, 4, 5), (4, 3, 2, 3), 1, 0),
    ((3, 2, 4, 5), (3, 2, 3, 2), 1, 1), ((2, 2, 7, 6), (3, 2, 3, 2), 2, 0),
    ((3, 1, 6, 5), (2, 1, 2, 3), 3, 2), ((2, 3, 4, 3), (5, 3, 1, 1), 1, 0),
)


@check(forbids=("torch",))
def check_conv2d_forward(conv2d_forward, rng):
    """Convolution as a matrix product."""
    for shape, kernel, stride, pad in CONVOLUTIONS:
        x, w = rng.normal(size=shape), rng.normal(size=kernel)
        en, zh = geometry(shape, kernel, stride, pad)
        yield (say(f"{en}: shape", f"{zh}：形状"),
               lambda: list(conv2d_forward(x.copy(), w.copy(), stride, pad).shape))
        yield say(f"{en}: y", f"{zh}：y"), lambda: conv2d_forward(x.copy(), w.copy(), stride, pad)

    def kept():
        conv2d_forward(x, w)[:] = 0.0
        return [x, w]

    yield say("x and w afterwards", "调用之后的 x 与 w"), kept


@check_conv2d_forward.hidden
def _(conv2d_forward, rng):
    for _ in range(4):
        shape = tuple(int(n) for n in rng.integers((1, 1, 5, 5), (4, 4, 10, 10)))
        kernel = (int(rng.integers(1, 5)), shape[1], *(int(n) for n in rng.integers(1, 5, size=2)))
        stride, pad = int(rng.integers(1, 4)), int(rng.integers(0, 3))
        x, w = rng.normal(size=shape), rng.normal(size=kernel)
        yield (say(*geometry(shape, kernel, stride, pad)),
               lambda: conv2d_forward(x, w, stride, pad))


check_conv2d_forward.mistake(
    say("The kernel is turned by 180 degrees. PyTorch's convolution, and the task's, does not turn it.",
        "卷积核被旋转了 180 度。PyTorch 的卷积与题目的公式都不翻转。"),
    within="conv2d_forward",
    replace={"w.reshape(O, -1) @": "w[:, :, ::-1, ::-1].reshape(O, -1) @"},
)
check_conv2d_forward.mistake(
    say("The rows of the matrix are raveled from (kh, kw, C), the columns of im2col from (C, kh, kw).",
        "矩阵的行是从 (kh, kw, C) 展平的，而 im2col 的列是从 (C, kh, kw) 展平的。"),
    within="conv2d_forward",
    replace={"w.reshape(O, -1) @": "w.transpose(0, 2, 3, 1).reshape(O, -1) @"},
)
check_conv2d_forward.mistake(
    say("Pictures and channels are mixed up in the output: the product has axes (B, O, L), and reshape "
        "does not move axes.",
        "输出中图片与通道混在了一起：乘积的轴是 (B, O, L)，而 reshape 不会移动轴。"),
    within="conv2d_forward",
    replace={"return y.reshape(": "y = y.transpose(1, 0, 2)\n    return y.reshape("},
)
check_conv2d_forward.mistake(
    say("Rows and columns of the output are exchanged.", "输出的行与列互换了。"),
    within="conv2d_forward",
    replace={"y.reshape(len(x), O, Ho, Wo)": "y.reshape(len(x), O, Wo, Ho).swapaxes(2, 3)"},
)
check_conv2d_forward.mistake(
    say("The channels are averaged. The equation sums over c.", "对通道取了平均。公式里是对 c 求和。"),
    within="conv2d_forward",
    replace={"return y.reshape(len(x), O, Ho, Wo)": "return y.reshape(len(x), O, Ho, Wo) / w.shape[1]"},
)


@check(forbids=("torch",))
def check_conv2d_backward(conv2d_backward, rng):
    """The gradients of the images and of the kernels."""
    for shape, kernel, stride, pad in CONVOLUTIONS:
        x, w = rng.normal(size=shape), rng.normal(size=kernel)
        dY = rng.normal(size=(shape[0], kernel[0], *windows(shape, kernel[2:], stride, pad)))
        en, zh = geometry(shape, kernel, stride, pad)
        for part, name in ((1, "dw"), (0, "dx")):
            yield (say(f"{en}: {name}", f"{zh}：{name}"),
                   lambda: conv2d_backward(dY.copy(), x.copy(), w.copy(), stride, pad)[part])
    yield (say("need_dx=False: dw, and is dx None?", "need_dx=False：dw，以及 dx 是否为 None"),
           lambda: [conv2d_backward(dY, x, w, need_dx=False)[1],
                    conv2d_backward(dY, x, w, need_dx=False)[0] is None])

    def kept():
        dx, dw = conv2d_backward(dY, x, w)
        dx[:], dw[:] = 0.0, 0.0
        return [dY, x, w]

    yield say("dY, x and w afterwards", "调用之后的 dY、x 与 w"), kept


@check_conv2d_backward.hidden
def _(conv2d_backward, rng):
    for _ in range(4):
        shape = tuple(int(n) for n in rng.integers((1, 1, 5, 5), (4, 4, 10, 10)))
        kernel = (int(rng.integers(1, 5)), shape[1], *(int(n) for n in rng.integers(1, 5, size=2)))
        stride, pad = int(rng.integers(1, 4)), int(rng.integers(0, 3))
        x, w = rng.normal(size=shape), rng.normal(size=kernel)
        dY = rng.normal(size=(shape[0], kernel[0], *windows(shape, kernel[2:], stride, pad)))
        yield (say(*geometry(shape, kernel, stride, pad)),
               lambda: list(conv2d_backward(dY, x, w, stride, pad)))


check_conv2d_backward.mistake(
    say("dw is an average over the batch. Every picture uses the same w: what happens to the gradients of "
        "several uses?",
        "dw 对批量取了平均。每张图片用的都是同一个 w：多次使用的梯度应当怎样处理？"),
    within="conv2d_backward", replace={".sum(axis=0)": ".mean(axis=0)"},
)
check_conv2d_backward.mistake(
    say("dw knows only the first picture.", "dw 只用到了第一张图片。"),
    within="conv2d_backward", replace={".sum(axis=0)": "[0]"},
)
check_conv2d_backward.mistake(
    say("In dx the kernel is turned by 180 degrees once too often. The transposed matrix does that by "
        "itself.",
        "dx 中卷积核多旋转了一次 180 度。转置后的矩阵本身就包含了这一旋转。"),
    within="conv2d_backward",
    replace={"col2im(w.reshape(O, -1).T": "col2im(w[:, :, ::-1, ::-1].reshape(O, -1).T"},
)
check_conv2d_backward.mistake(
    say("dw is turned by 180 degrees.", "dw 被旋转了 180 度。"),
    within="conv2d_backward", replace={".reshape(w.shape)": ".reshape(w.shape)[:, :, ::-1, ::-1]"},
)
check_conv2d_backward.mistake(
    say("The two gradients come in the wrong order.", "两个梯度的次序反了。"),
    within="conv2d_backward",
    replace={"return col2im(w.reshape(O, -1).T @ dY, x.shape, kh, kw, stride, pad), dw":
             "return dw, col2im(w.reshape(O, -1).T @ dY, x.shape, kh, kw, stride, pad)"},
)
check_conv2d_backward.mistake(
    say("dx is there although nobody asked for it.", "没有人需要 dx，它还是被算出来了。"),
    within="conv2d_backward", replace={"if not need_dx": "if False"},
)
check_conv2d_backward.mistake(
    say("dx knows nothing of the padding: pixel (0, 0) is not where the first window begins.",
        "dx 没有考虑填充：第一个窗口并不是从像素 (0, 0) 开始的。"),
    within="conv2d_backward",
    replace={"x.shape, kh, kw, stride, pad), dw":
             "(*x.shape[:2], x.shape[2] + 2 * pad, x.shape[3] + 2 * pad), kh, kw, stride)"
             "[:, :, :x.shape[2], :x.shape[3]], dw"},
)


# ------------------------------------------------------------------------------- the layer


@check(forbids=("torch",))
def check_conv2d(Conv2d, Tensor, rng):
    """Conv2d in the graph: outputs, gradients, parameters."""
    seed = int(rng.integers(2**31))
    yield (say("Conv2d(2, 5, 3): shapes of weight and bias", "Conv2d(2, 5, 3)：weight 与 bias 的形状"),
           lambda: [list(Conv2d(2, 5, 3).weight.data.shape), list(Conv2d(2, 5, 3).bias.data.shape)])

    def identities():
        layer = Conv2d(2, 5, 3)
        first, second = layer.parameters()
        return [first is layer.weight, second is layer.bias, first.requires_grad, second.requires_grad]

    yield (say("parameters() are weight and bias themselves, and require a gradient",
               "parameters() 就是 weight 与 bias 本身，并且需要梯度"), identities)

    def layer_of(i, o, k, **settings):
        layer, draw = Conv2d(i, o, k, **settings), np.random.default_rng(seed)
        layer.weight.data, layer.bias.data = draw.normal(size=(o, i, k, k)), draw.normal(size=o)
        return layer

    for shape, (i, o, k), settings, out in (
        ((2, 1, 4, 5), (1, 3, 2), {}, (3, 4)), ((3, 2, 4, 6), (2, 5, 3), {"padding": 1}, (4, 6)),
        ((2, 2, 7, 5), (2, 4, 3), {"stride": 2}, (3, 2)),
        ((2, 3, 5, 4), (3, 4, 2), {"stride": 3, "padding": 2}, (3, 3)),
    ):
        x, g = rng.normal(size=shape), rng.normal(size=(shape[0], o, *out))
        told = ", ".join(map(str, (i, o, k, *(f"{name}={n}" for name, n in settings.items()))))
        yield (say(f"Conv2d({told}): output", f"Conv2d({told})：输出"),
               lambda: layer_of(i, o, k, **settings)(leaf(Tensor, x)).data)

        def gradients():
            layer, inputs = layer_of(i, o, k, **settings), leaf(Tensor, x)
            layer(inputs).backward(g.copy())
            return [layer.weight.grad, layer.bias.grad, inputs.grad]

        gradients = functools.cache(gradients)
        for part, name in enumerate(("weight", "bias", "x")):
            yield say(f"the same: gradient of {name}", f"同上：{name} 的梯度"), lambda: gradients()[part]
    x, y, g = rng.normal(size=(2, 2, 3, 4)), rng.normal(size=(2, 2, 3, 4)), rng.normal(size=(2, 3, 2, 3))

    def twice():
        layer, a, b = layer_of(2, 3, 2), leaf(Tensor, x), leaf(Tensor, y)
        (layer(a) * layer(b)).backward(g.copy())
        return [layer.weight.grad, layer.bias.grad, a.grad, b.grad]

    yield (say("one layer on two inputs, the outputs multiplied: all gradients",
               "同一层用于两个输入，再把输出相乘：全部梯度"), twice)

    def pictures():
        layer, inputs = layer_of(2, 3, 2), leaf(Tensor, x, requires_grad=False)
        layer(inputs).backward(g.copy())
        return [layer.weight.grad, inputs.grad is None]

    yield (say("x that requires no gradient: weight's gradient, and is x.grad None?",
               "x 不需要梯度：weight 的梯度，以及 x.grad 是否为 None"), pictures)

    def replaced():
        layer = layer_of(2, 3, 2)
        layer.weight, layer.bias = Tensor(np.ones((3, 2, 2, 2))), Tensor(np.arange(3.0))
        return layer(leaf(Tensor, x)).data

    yield (say("output after weight and bias were replaced", "替换 weight 和 bias 之后的输出"), replaced)


check_conv2d.mistake(
    say("The bias is made and never used.", "创建了偏置，却从未使用。"),
    within="Conv2d.__call__", replace={"        y += bias.data[:, None, None]\n": ""},
)
check_conv2d.mistake(
    say("The bias's gradient is an average. At how many places was bias[o] added?",
        "偏置的梯度取了平均。bias[o] 加到了多少个位置上？"),
    within="Conv2d.__call__", replace={"grad.sum(axis=(0, 2, 3))": "grad.mean(axis=(0, 2, 3))"},
)
check_conv2d.mistake(
    say("The gradient of the last use has replaced the others.", "最后一次使用的梯度覆盖了其余的梯度。"),
    within="Conv2d.__call__", replace={"weight.accumulate(dw)": "weight.grad = dw"},
)
check_conv2d.mistake(
    say("The padding is forgotten.", "忘了填充。"),
    within="Conv2d.__init__", replace={"= stride, padding": "= stride, 0"},
)
check_conv2d.mistake(
    say("The stride is forgotten.", "忘了步幅。"),
    within="Conv2d.__init__", replace={"= stride, padding": "= 1, padding"},
)
check_conv2d.mistake(
    say("The gradients do not go on to x, so the layers before this one would never learn.",
        "梯度没有继续传给 x，前面的层就永远学不到东西。"),
    within="Conv2d.__call__", replace={"x.accumulate(dx)": "pass"},
)
check_conv2d.mistake(
    say("parameters() leaves out the bias, so no optimiser will ever move it.",
        "parameters() 漏掉了偏置，于是优化器永远不会更新它。"),
    within="Conv2d.parameters", replace={"[self.weight, self.bias]": "[self.weight, self.weight]"},
)


@check(forbids=("torch",))
def check_conv2d_init(Conv2d, rng):
    """How the kernels are drawn."""
    seed = int(rng.integers(2**31))
    for i, o, k in ((9, 150, 5), (100, 100, 2)):
        layer = functools.cache(lambda: Conv2d(i, o, k, rng=np.random.default_rng(seed)))
        yield (say(f"Conv2d({i}, {o}, {k}): standard deviation of the weights, within 3 %",
                   f"Conv2d({i}, {o}, {k})：权重的标准差，误差 3% 以内"),
               lambda: layer().weight.data.std(), close(rtol=0.03))
        yield (say("largest |weight|, within 3 %", "最大的 |权重|，误差 3% 以内"),
               lambda: np.abs(layer().weight.data).max(), close(rtol=0.03))
        yield (say("mean weight / bound is near 0", "权重均值除以界，接近 0"),
               lambda: np.abs(layer().weight.data.mean()) * np.sqrt(i * k**2 / 6), at_most(0.02))
    wide = functools.cache(lambda: Conv2d(2, 4000, 3, rng=np.random.default_rng(seed)))
    yield (say("Conv2d(2, 4000, 3): standard deviation of the biases, within 6 %",
               "Conv2d(2, 4000, 3)：偏置的标准差，误差 6% 以内"),
           lambda: wide().bias.data.std(), close(rtol=0.06))
    yield (say("largest |bias|, within 3 %", "最大的 |偏置|，误差 3% 以内"),
           lambda: np.abs(wide().bias.data).max(), close(rtol=0.03))
    yield (say("mean bias / bound is near 0", "偏置均值除以界，接近 0"),
           lambda: np.abs(wide().bias.data.mean()) * np.sqrt(18), at_most(0.06))

    def apart(*rngs):
        a, b = (np.concatenate([p.data.ravel() for p in Conv2d(2, 3, 2, rng=one).parameters()])
                for one in rngs)
        return [bool(np.all((a != b)[:24])), bool(np.all((a != b)[24:]))]

    yield (say("equal generators: weights and biases differ?", "相同的生成器：权重、偏置是否不同？"),
           lambda: apart(np.random.default_rng(seed), np.random.default_rng(seed)))

    def one_after_the_other():
        shared = np.random.default_rng(seed)
        return apart(shared, shared)

    yield (say("two layers drawn one after the other: differ?", "先后抽取的两层：是否不同？"),
           one_after_the_other)
    yield say("two layers without rng: differ?", "不给 rng 的两层：是否不同？"), lambda: apart(None, None)


check_conv2d_init.mistake(
    say("Only the channels are counted. How many numbers does one output sum up?",
        "只数了通道。一个输出是多少个数之和？"),
    within="Conv2d.__init__", replace={"n = in_channels * kernel_size**2": "n = in_channels"},
)
check_conv2d_init.mistake(
    say("The scale follows the number of output channels. How many numbers does one output sum up?",
        "尺度取决于输出通道数了。一个输出是多少个数之和？"),
    within="Conv2d.__init__",
    replace={"n = in_channels * kernel_size**2": "n = out_channels * kernel_size**2"},
)
check_conv2d_init.mistake(
    say("sqrt(2/n) is the standard deviation. How wide is a uniform interval of that standard deviation?",
        "sqrt(2/n) 是标准差。具有这一标准差的均匀分布，区间有多宽？"),
    within="Conv2d.__init__", replace={"np.sqrt(6 / n)": "np.sqrt(2 / n)"},
)
check_conv2d_init.mistake(
    say("The biases are zero. Today's are drawn, as in Day 4.", "偏置全为零。今天的偏置和第 4 天一样是抽取的。"),
    within="Conv2d.__init__",
    replace={"rng.uniform(-1, 1, size=out_channels) / np.sqrt(n)": "np.zeros(out_channels)"},
)
check_conv2d_init.mistake(
    say("The rng that was handed in is not used, so nothing can be repeated.",
        "没有使用传入的 rng，结果就无法重现。"),
    within="Conv2d.__init__",
    replace={"np.random.default_rng() if rng is None else rng": "np.random.default_rng()"},
)
check_conv2d_init.mistake(
    say("Every layer gets the same numbers: a new generator with a fixed seed is made for each.",
        "每一层得到的数都一样：每次都新建了种子固定的生成器。"),
    within="Conv2d.__init__",
    replace={"np.random.default_rng() if rng is None else rng": "np.random.default_rng(0)"},
)


# --------------------------------------------------------------------------------- pooling


# Shape of x, window, stride (None: not given), windows down and across.
POOLS = (
    ((1, 1, 4, 4), 2, None, (2, 2)), ((2, 3, 5, 7), 2, None, (2, 3)), ((2, 2, 6, 5), 3, 1, (4, 3)),
    ((2, 1, 7, 8), 3, 2, (3, 3)), ((1, 2, 5, 6), 2, 3, (2, 2)), ((3, 2, 3, 3), 3, None, (1, 1)),
)


@check(forbids=("torch",))
def check_max_pool(MaxPool2d, Tensor, rng):
    """The largest entry of each window, and where its gradient goes."""
    for shape, k, stride, out in POOLS:
        x, dy = rng.normal(size=shape), rng.normal(size=(*shape[:2], *out))
        told = f"MaxPool2d({k})" if stride is None else f"MaxPool2d({k}, stride={stride})"
        yield (say(f"{told} on x {shape}: y", f"{told}，x {shape}：y"),
               lambda: MaxPool2d(k, stride).forward(x.copy())[0])

        def back():
            pool = MaxPool2d(k, stride)
            return pool.backward(dy.copy(), pool.forward(x.copy())[1])

        yield say("the same: dx", "同上：dx"), back
    x, dy = -rng.uniform(1, 2, size=(1, 2, 4, 6)), rng.normal(size=(1, 2, 2, 3))
    yield say("all entries negative: y", "全部为负数：y"), lambda: MaxPool2d(2).forward(x.copy())[0]
    flat, g = np.zeros((1, 1, 4, 6)), rng.normal(size=(1, 1, 2, 3))
    for label, tied, k, stride, d in (
        (say("all entries equal", "全部相等"), flat, 2, None, g),
        (say("entries from 0 to 2, many equal, windows that overlap", "0 到 2 的整数，多处相等，窗口重叠"),
         rng.integers(3, size=(2, 2, 5, 6)).astype(float), 3, 2, rng.normal(size=(2, 2, 2, 2))),
    ):
        def ties():
            pool = MaxPool2d(k, stride)
            return pool.backward(d.copy(), pool.forward(tied.copy())[1])

        yield say(f"{label.en}: dx", f"{label.zh}：dx"), ties

    def two_calls():
        pool = MaxPool2d(2)
        caches = [pool.forward(part.copy())[1] for part in (x, x[:, :, ::-1, ::-1])]
        return [pool.backward(dy.copy(), cache) for cache in caches]

    yield (say("forward on two inputs, then backward for each: dx", "先对两个输入做 forward，再分别 backward：dx"),
           two_calls)

    def kept():
        pool = MaxPool2d(2)
        y, cache = pool.forward(x)
        pool.backward(dy, cache)[:] = 0.0
        y[:] = 0.0
        return [x, dy]

    yield say("x and dy afterwards", "调用之后的 x 与 dy"), kept

    def in_the_graph():
        a = leaf(Tensor, x)
        MaxPool2d(2)(a * a).backward(dy.copy())
        return a.grad

    yield say("in the graph, on a * a: gradient of a", "放进计算图，作用于 a * a：a 的梯度"), in_the_graph
    yield (say("a window of 4 in x (1, 1, 3, 5)", "x (1, 1, 3, 5) 中放 4 的窗口"),
           lambda: MaxPool2d(4).forward(np.ones((1, 1, 3, 5))), raises(ValueError))


check_max_pool.mistake(
    say("The running maximum starts at 0, so a window of negative numbers gives 0.",
        "最大值从 0 开始比较，于是全为负数的窗口得到了 0。"),
    within="MaxPool2d.forward", replace={"return y, (": "return np.maximum(y, 0), ("},
)
check_max_pool.mistake(
    say("Where several are equally large, the last one wins. The task names another.",
        "有多个同样大时，取了最后一个。题目要求的不是它。"),
    within="MaxPool2d.forward", replace={"winner[part > y] = n": "winner[part >= y] = n"},
)
check_max_pool.mistake(
    say("Where several are equally large, each of them gets the gradient. The sum of dx is then larger than "
        "that of dy.",
        "有多个同样大时，每一个都得到了梯度。这样 dx 之和就大于 dy 之和了。"),
    within="MaxPool2d",
    replace={"return y, (x.shape, winner)": "return y, (x.shape, (x, y))",
             "for n, part in enumerate(parts):\n            part += dy * (winner == n)":
             "seen = _shifts(winner[0], self.kernel_size, self.kernel_size, self.stride)\n"
             "        for part, values in zip(parts, seen):\n"
             "            part += dy * (values == winner[1])"},
)
check_max_pool.mistake(
    say("Where windows overlap, a pixel may win several of them; its gradients add up.",
        "窗口重叠时，一个像素可能在好几个窗口中胜出；它的梯度应当相加。"),
    within="MaxPool2d.backward",
    replace={"part += dy * (winner == n)": "part[winner == n] = dy[winner == n]"},
)
check_max_pool.mistake(
    say("Every pixel of a window gets its gradient. Which pixels change the maximum when they move a little?",
        "窗口中每个像素都得到了梯度。哪些像素稍微一动，最大值才会变？"),
    within="MaxPool2d.backward", replace={"part += dy * (winner == n)": "part += dy"},
)
check_max_pool.mistake(
    say("What backward needs is kept in the layer, and the second call has overwritten that of the first.",
        "backward 所需的东西存在了层里，第二次调用把第一次的覆盖了。"),
    within="MaxPool2d",
    replace={"        return y, (x.shape, winner)": "        self.kept = (x.shape, winner)\n        return y, None",
             "shape, winner = cache": "shape, winner = self.kept"},
)
check_max_pool.mistake(
    say("Neighbouring windows are always a window apart, whatever the stride.",
        "不管步幅是多少，相邻窗口总是相隔一个窗口的长度。"),
    within="MaxPool2d.forward",
    replace={"_shifts(x, self.kernel_size, self.kernel_size, self.stride)":
             "_shifts(x, self.kernel_size, self.kernel_size, self.kernel_size)"},
)


@check(forbids=("torch",))
def check_avg_pool(AvgPool2d, Tensor, rng):
    """The mean of each window."""
    for shape, k, stride, out in POOLS:
        x, dy = rng.normal(size=shape), rng.normal(size=(*shape[:2], *out))
        told = f"AvgPool2d({k})" if stride is None else f"AvgPool2d({k}, stride={stride})"
        yield (say(f"{told} on x {shape}: y", f"{told}，x {shape}：y"),
               lambda: AvgPool2d(k, stride).forward(x.copy()))
        yield (say("the same: dx", "同上：dx"),
               lambda: AvgPool2d(k, stride).backward(dy.copy(), shape))
    x, dy = rng.normal(size=(1, 2, 4, 6)), rng.normal(size=(1, 2, 2, 3))

    def kept():
        pool = AvgPool2d(2)
        pool.forward(x)[:] = 0.0
        pool.backward(dy, x.shape)[:] = 0.0
        return [x, dy]

    yield say("x and dy afterwards", "调用之后的 x 与 dy"), kept

    def in_the_graph():
        a = leaf(Tensor, x)
        AvgPool2d(2)(a * a).backward(dy.copy())
        return a.grad

    yield say("in the graph, on a * a: gradient of a", "放进计算图，作用于 a * a：a 的梯度"), in_the_graph
    yield (say("a window of 4 in x (1, 1, 5, 3)", "x (1, 1, 5, 3) 中放 4 的窗口"),
           lambda: AvgPool2d(4).forward(np.ones((1, 1, 5, 3))), raises(ValueError))


check_avg_pool.mistake(
    say("The sum is divided by the window's length. How many entries does a window hold?",
        "和除以了窗口的边长。一个窗口里有多少个元素？"),
    within="AvgPool2d.forward", replace={"self.kernel_size**2": "self.kernel_size"},
)
check_avg_pool.mistake(
    say("These are sums.", "这些是和。"),
    within="AvgPool2d.forward", replace={" / self.kernel_size**2": ""},
)
check_avg_pool.mistake(
    say("dx is too large: by how much does the mean change if one entry changes by 1?",
        "dx 太大了：一个元素变化 1，平均值变化多少？"),
    within="AvgPool2d.backward", replace={" / self.kernel_size**2": ""},
)
check_avg_pool.mistake(
    say("Where windows overlap, a pixel belongs to several of them; its gradients add up.",
        "窗口重叠时，一个像素属于好几个窗口；它的梯度应当相加。"),
    within="AvgPool2d.backward", replace={"part += dy": "part[...] = dy"},
)


# --------------------------------------------------------------------------------- the CNN


@check(forbids=("torch",))
def check_cnn(Flatten, small_cnn, Tensor, rng):
    """Flatten and the network: shapes, logits, gradients."""
    x, g = rng.normal(size=(3, 2, 4, 5)), rng.normal(size=(3, 40))
    yield say("Flatten on x (3, 2, 4, 5)", "Flatten，x (3, 2, 4, 5)"), lambda: Flatten()(leaf(Tensor, x)).data
    yield (say("Flatten on x (1, 6)", "Flatten，x (1, 6)"),
           lambda: Flatten()(leaf(Tensor, np.arange(6.0)[None])).data)

    def flattened():
        a = leaf(Tensor, x)
        Flatten()(a).backward(g.copy())
        return a.grad

    yield say("Flatten: gradient of x", "Flatten：x 的梯度"), flattened
    yield (say("Flatten: number of parameters", "Flatten：参数个数"), lambda: len(Flatten().parameters()))
    seed, weights = int(rng.integers(2**31)), int(rng.integers(2**31))

    def made(**settings):
        return small_cnn(np.random.default_rng(seed), **settings)

    for told, settings in (
        ("small_cnn(rng)", {}), ("small_cnn(rng, side=19)", {"side": 19}),
        ("small_cnn(rng, side=16, channels=(2, 3))", {"side": 16, "channels": (2, 3)}),
        ("small_cnn(rng, side=21, channels=(3, 2))", {"side": 21, "channels": (3, 2)}),
    ):
        side = settings.get("side", 28)
        yield (say(f"{told}: shapes of the parameters", f"{told}：各参数的形状"),
               lambda: [list(p.data.shape) for p in made(**settings).parameters()])
        rows, dlogits = rng.normal(size=(3, side * side)), rng.normal(size=(3, 10))

        def trained():
            model = filled(made(**settings), weights)
            logits = model(leaf(Tensor, rows, requires_grad=False))
            logits.backward(dlogits.copy())
            return [logits.data, *(p.grad for p in model.parameters())]

        trained = functools.cache(trained)
        yield say("the same: logits", "同上：logits"), lambda: trained()[0]
        yield say("the same: gradients of the parameters", "同上：各参数的梯度"), lambda: trained()[1:]

    def numbers(*rngs):
        return [np.concatenate([p.data.ravel() for p in small_cnn(one, 16, (2, 3)).parameters()])
                for one in rngs]

    def equal():
        a, b = numbers(np.random.default_rng(seed), np.random.default_rng(seed))
        return bool(np.array_equal(a, b))

    yield say("equal generators give equal networks?", "相同的生成器给出相同的网络？"), equal

    def shared():
        one = np.random.default_rng(seed)
        a, b = numbers(one, one)
        return bool(np.all(a != b))

    yield (say("two networks drawn one after the other differ everywhere?", "先后抽取的两个网络处处不同？"),
           shared)


check_cnn.mistake(
    say("Flatten has swallowed the batch: each picture keeps its own row.",
        "Flatten 把批量也并进去了：每张图片应当各占一行。"),
    within="Flatten.__call__", replace={"x.reshape(len(x), -1)": "x.reshape(1, -1)"},
)
check_cnn.mistake(
    say("Flatten has moved the channels to the end before it flattened.",
        "Flatten 在展平之前把通道移到了最后。"),
    within="Flatten.__call__",
    replace={"x.reshape(len(x), -1)":
             "x.transpose(0, 2, 3, 1).reshape(len(x), -1) if x.ndim == 4 else x.reshape(len(x), -1)"},
)
check_cnn.mistake(
    say("There is no ReLU between the first convolution and the second. What do two linear maps in a row "
        "make?",
        "第一个卷积与第二个卷积之间没有 ReLU。两个线性映射接在一起是什么？"),
    within="small_cnn",
    replace={"Conv2d(1, first, 5, rng=rng), ReLU(), MaxPool2d(2)": "Conv2d(1, first, 5, rng=rng), MaxPool2d(2)"},
)
check_cnn.mistake(
    say("The second convolution has no ReLU behind it.", "第二个卷积之后没有 ReLU。"),
    within="small_cnn",
    replace={"Conv2d(first, second, 5, rng=rng), ReLU(), MaxPool2d(2)":
             "Conv2d(first, second, 5, rng=rng), MaxPool2d(2)"},
)
check_cnn.mistake(
    say("The convolutions pad, so that the images keep their size; the task's do not.",
        "卷积做了填充，图像大小不变；题目中的卷积不填充。"),
    within="small_cnn",
    replace={"Conv2d(1, first, 5, rng=rng)": "Conv2d(1, first, 5, padding=2, rng=rng)",
             "Conv2d(first, second, 5, rng=rng)": "Conv2d(first, second, 5, padding=2, rng=rng)",
             "rest = out_size(out_size(side, 5), 2, stride=2)": "rest = side // 2",
             "rest = out_size(out_size(rest, 5), 2, stride=2)": "rest = rest // 2"},
)
check_cnn.mistake(
    say("The pooling takes means. The task asks for maxima.", "池化取的是平均。题目要的是最大值。"),
    within="small_cnn",
    replace={"Conv2d(1, first, 5, rng=rng), ReLU(), MaxPool2d(2)":
             "Conv2d(1, first, 5, rng=rng), ReLU(), AvgPool2d(2)",
             "Conv2d(first, second, 5, rng=rng), ReLU(), MaxPool2d(2)":
             "Conv2d(first, second, 5, rng=rng), ReLU(), AvgPool2d(2)"},
)
check_cnn.mistake(
    say("The Linear layer is not drawn from the rng that was handed in.", "Linear 层没有用传入的 rng 抽取。"),
    within="small_cnn",
    replace={"Linear(second * rest**2, 10, rng)": "Linear(second * rest**2, 10)"},
)


EQUIVALENT = {
    "im2col: np.empty((B, C, kh * kw, Ho, Wo), dtype=x.dtype) -> np.empty((B, C, kh * kw, Ho, Wo))":
        "float32 pictures give the same columns in float64",
    "MaxPool2d.forward: np.zeros(first.shape, dtype=int) -> np.zeros(first.shape)":
        "the numbers of the places are small and exact as floats too",
}
