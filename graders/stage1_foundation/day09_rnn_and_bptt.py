"""Checks of Day 9: a recurrent network, its gradients through time, and clipping."""

import numpy as np

from ladder.checks import check, close, exactly, say


def recurrence(rng, B, T, D, H):
    """Arguments of rnn_forward, of moderate size."""
    return (rng.normal(size=(B, T, D)), rng.normal(size=(B, H)) * 0.5,
            rng.normal(size=(D, H)) * 0.6, rng.normal(size=(H, H)) * 0.6, rng.normal(size=H) * 0.3)


def made_cache(rng, B, T, D, H):
    """What rnn_forward should have cached, made here."""
    x, h0, Wxh, Whh, b = recurrence(rng, B, T, D, H)
    h, now = [], h0
    for t in range(T):
        now = np.tanh(x[:, t] @ Wxh + now @ Whh + b)
        h.append(now)
    return x, h0, np.stack(h, axis=1), Wxh, Whh


def copies(arrays):
    return tuple(np.array(a) for a in arrays)


def after(run, *arrays):
    """Run, then return the arrays that should be as they were."""
    run()
    return arrays


@check()
def check_rnn_forward(rnn_forward, rng):
    """All hidden states, from left to right."""
    x, h0, Wxh, Whh, b = recurrence(rng, 1, 1, 3, 4)
    yield (say("one sequence, one step, h0 = 0", "一个序列、一步、h0 = 0"),
           lambda: rnn_forward(x, 0 * h0, Wxh, Whh, b)[0])
    yield (say("one step from an h0 that is not zero", "一步，h0 不为零"),
           lambda: rnn_forward(x, h0, Wxh, Whh, b)[0])
    many = recurrence(rng, 3, 5, 2, 4)
    yield (say("B = 3 sequences, T = 5 steps, D = 2, H = 4: h of shape (3, 5, 4)",
               "B = 3 个序列，T = 5 步，D = 2，H = 4：h 的形状为 (3, 5, 4)"),
           lambda: rnn_forward(*copies(many))[0])
    yield (say("what the cache holds: (x, h0, h, Wxh, Whh)", "cache 的内容：(x, h0, h, Wxh, Whh)"),
           lambda: rnn_forward(*copies(many))[1])
    kept = copies(many)
    yield (say("the arguments are as they were", "参数保持原样"),
           lambda: after(lambda: rnn_forward(*kept), *kept))


check_rnn_forward.mistake(
    say("Correct for one step from zero. Which hidden state does step t start from?",
        "从零开始的一步是对的。第 t 步应当从哪个隐藏状态出发？"),
    within="rnn_forward", replace={"+ h_t @ Whh": "+ h0 @ Whh"},
)
check_rnn_forward.mistake(
    say("h is a row here. On which side does the matrix Whh stand, and is it transposed?",
        "这里的 h 是行向量。矩阵 Whh 应当在哪一侧，要不要转置？"),
    within="rnn_forward", replace={"h_t @ Whh": "h_t @ Whh.T"},
)
check_rnn_forward.mistake(
    say("Even a single step differs. Is every term of the equation in the sum?",
        "只走一步就不对。公式里的每一项都加进去了吗？"),
    within="rnn_forward", replace={"h_t @ Whh + b)": "h_t @ Whh)"},
)
check_rnn_forward.mistake(
    say("The first step ignores what came before. h0 is an argument for a reason.",
        "第一步忽略了之前的状态。参数 h0 不是摆设。"),
    within="rnn_forward", replace={"h_t = h0\n": "h_t = 0 * h0\n"},
)
check_rnn_forward.mistake(
    say("The states are right and the cache is not: it holds all T states, not only the last.",
        "隐藏状态正确，cache 不正确：其中应当保存全部 T 个状态，而不只是最后一个。"),
    within="rnn_forward", replace={"return h, (x, h0, h,": "return h, (x, h0, h_t,"},
)


NAMES = ("dx", "dh0", "dWxh", "dWhh", "db")


def part(rnn_bptt, dh, cache, k):
    grads = rnn_bptt(dh.copy(), copies(cache))
    assert len(grads) == 5, "five gradients are expected: dx, dh0, dWxh, dWhh, db"
    return grads[k]


@check()
def check_rnn_bptt(rnn_bptt, rng):
    """Gradients through time."""
    short = made_cache(rng, 2, 1, 3, 4)
    g = rng.normal(size=short[2].shape)
    yield (say("one step (T = 1): all five gradients", "只有一步（T = 1）：全部五个梯度"),
           lambda: rnn_bptt(g.copy(), copies(short)))
    cache = made_cache(rng, 3, 5, 2, 4)
    last = np.zeros(cache[2].shape)
    last[:, -1] = rng.normal(size=(3, 4))
    for k in (0, 1):
        yield (say(f"the loss sees h_T only, T = 5: {NAMES[k]}", f"损失只看 h_T，T = 5：{NAMES[k]}"),
               lambda k=k: part(rnn_bptt, last, cache, k))
    dh = rng.normal(size=last.shape)
    for k in range(5):
        yield (say(f"the loss sees every h_t, T = 5: {NAMES[k]}", f"损失看到每个 h_t，T = 5：{NAMES[k]}"),
               lambda k=k: part(rnn_bptt, dh, cache, k))
    kept, kept_dh = copies(cache), dh.copy()
    yield (say("dh and the cache are as they were", "dh 与 cache 保持原样"),
           lambda: after(lambda: rnn_bptt(kept_dh, kept), kept_dh, *kept))


check_rnn_bptt.mistake(
    say("Right for one step, and each step is treated alone. How else does h_t reach the loss?",
        "只有一步时正确，但各步被孤立地处理了。h_t 还通过什么途径影响损失？"),
    within="rnn_bptt", replace={"(dh[:, t] + later)": "dh[:, t]"},
)
check_rnn_bptt.mistake(
    say("The way back through h Whh is off. Forward multiplies rows by Whh from the right; what is "
        "its VJP (Day 1)?",
        "穿过 h Whh 的反向不对。前向是行向量右乘 Whh；它的 VJP 是什么（第 1 天）？"),
    within="rnn_bptt", replace={"dz[:, t] @ Whh.T": "dz[:, t] @ Whh"},
)
check_rnn_bptt.mistake(
    say("Only dWhh is wrong. Which hidden state was multiplied by Whh at step t?",
        "只有 dWhh 不对。第 t 步与 Whh 相乘的是哪一个隐藏状态？"),
    within="rnn_bptt", replace={"before.reshape": "h.reshape"},
)
check_rnn_bptt.mistake(
    say("Only dWhh is wrong, and only where h0 matters. What stood before the first state?",
        "只有 dWhh 不对，而且只在 h0 起作用的地方。第一个状态之前是什么？"),
    within="rnn_bptt", replace={"[h0[:, None], h[:, :-1]]": "[0 * h0[:, None], h[:, :-1]]"},
)
check_rnn_bptt.mistake(
    say("Write the derivative of tanh in terms of its OUTPUT h.", "用 tanh 的输出 h 来写它的导数。"),
    within="rnn_bptt", replace={"(1 - h[:, t] ** 2)": "(1 - np.tanh(h[:, t]) ** 2)"},
)
check_rnn_bptt.mistake(
    say("dh0 stops half way: it has passed tanh of the first step. What is left between z_1 and h_0?",
        "dh0 只走了一半：已经穿过第一步的 tanh。z_1 与 h_0 之间还有什么？"),
    within="rnn_bptt", replace={"dz @ Wxh.T, later,": "dz @ Wxh.T, dz[:, 0],"},
)
check_rnn_bptt.mistake(
    say("One set of weights served all T steps. What happens to the gradients of several uses?",
        "T 步共用同一组权重。同一个量被多次使用时，各处的梯度该怎样处理？"),
    within="rnn_bptt",
    replace={"dWxh = x.reshape(-1, D).T @ rows": "dWxh = x[:, 0].T @ dz[:, 0]",
             "dWhh = before.reshape(-1, H).T @ rows": "dWhh = before[:, 0].T @ dz[:, 0]",
             "rows.sum(axis=0)": "dz[:, 0].sum(axis=0)"},
)


@check()
def check_grad_norm_vs_time(grad_norm_vs_time, rng):
    """The gradient's length against the number of steps back."""
    H, T = 5, 7
    W = rng.normal(size=(H, H)) / np.sqrt(H)
    yield (say("Whh = 0.5 I, T = 3, no g: 1, 1/2, 1/4, 1/8", "Whh = 0.5 I，T = 3，不给 g：1、1/2、1/4、1/8"),
           lambda: grad_norm_vs_time(0.5 * np.eye(4), 3))
    yield (say("a random Whh, linear, T = 7, no g", "随机的 Whh，线性，T = 7，不给 g"),
           lambda: grad_norm_vs_time(W.copy(), T))
    g = rng.normal(size=H) * 3
    yield (say("a random Whh, linear, with g", "随机的 Whh，线性，给定 g"),
           lambda: grad_norm_vs_time(W.copy(), T, g.copy()))
    h = np.tanh(rng.normal(size=(T, H)))
    yield (say("with the hidden states of a forward pass, T = 1", "给定前向的隐藏状态，T = 1"),
           lambda: grad_norm_vs_time(W.copy(), 1, g.copy(), h[:1].copy()))
    yield (say("with the hidden states of a forward pass, T = 7", "给定前向的隐藏状态，T = 7"),
           lambda: grad_norm_vs_time(W.copy(), T, g.copy(), h.copy()))
    kept = W.copy(), g.copy(), h.copy()
    yield (say("the arguments are as they were", "参数保持原样"),
           lambda: after(lambda: grad_norm_vs_time(kept[0], T, kept[1], kept[2]), *kept))


check_grad_norm_vs_time.mistake(
    say("Back through h Whh the gradient meets the transpose. For which matrices would you not notice?",
        "反向穿过 h Whh 时，梯度遇到的是转置。对哪些矩阵看不出区别？"),
    within="grad_norm_vs_time", replace={"@ Whh.T": "@ Whh"},
)
check_grad_norm_vs_time.mistake(
    say("norms[0] is the gradient at the last step itself, before any step back.",
        "norms[0] 是最后一步自身的梯度，此时还没有往回走。"),
    within="grad_norm_vs_time", replace={"norms = [np.linalg.norm(g)]": "norms = []"},
)
check_grad_norm_vs_time.mistake(
    say("Walking back from step T: whose tanh is passed first?", "从第 T 步往回走：最先穿过哪一步的 tanh？"),
    within="grad_norm_vs_time", replace={"reversed(range(T))": "range(T)"},
)
check_grad_norm_vs_time.mistake(
    say("Without tanh you are right. With it, the slope differs from unit to unit and step to step.",
        "没有 tanh 时正确。有 tanh 时，每个单元、每一步的斜率都不同。"),
    within="grad_norm_vs_time", replace={"else 1 - h**2": "else np.ones((T, H))"},
)
check_grad_norm_vs_time.mistake(
    say("The order of tanh and Whh: coming from h_t, which of the two was applied last going forward?",
        "tanh 与 Whh 的次序：从 h_t 往回走，前向时最后作用的是哪一个？"),
    within="grad_norm_vs_time", replace={"(g * slope[t]) @ Whh.T": "(g @ Whh.T) * slope[t]"},
)


def clipped(clip_grad_norm, grads, max_norm):
    """The arrays after clipping in place, and the number that was returned."""
    grads = [np.array(g) for g in grads]
    norm = clip_grad_norm(grads, max_norm)
    return {"norm": norm, "grads": grads}


@check()
def check_clip_grad_norm(clip_grad_norm, rng):
    """One norm for all gradients."""
    yield (say("[3, 4] with max_norm = 1: norm 5, clipped to [0.6, 0.8]",
               "[3, 4]，max_norm = 1：范数 5，裁剪为 [0.6, 0.8]"),
           lambda: clipped(clip_grad_norm, [np.array([3.0, 4.0])], 1.0))
    grads = [rng.normal(size=(3, 4)), 5 * rng.normal(size=2), rng.normal(size=(2, 1, 3))]
    norm = np.sqrt(sum((g**2).sum() for g in grads))
    yield (say("three arrays, clipped to half their common norm", "三个数组，裁剪到公共范数的一半"),
           lambda: clipped(clip_grad_norm, grads, norm / 2))
    yield (say("a norm above max_norm, though no array alone is above it",
               "总范数超过 max_norm，但没有哪个数组单独超过"),
           lambda: clipped(clip_grad_norm, [np.array([0.9]), np.array([-0.8]), np.array([[0.7]])], 1.0))
    yield (say("a norm below max_norm: nothing changes", "范数小于 max_norm：什么也不变"),
           lambda: clipped(clip_grad_norm, grads, 2 * norm), close())
    yield (say("all gradients zero", "所有梯度为零"),
           lambda: clipped(clip_grad_norm, [np.zeros((2, 2)), np.zeros(3)], 1.0))


check_clip_grad_norm.mistake(
    say("Arrays are scaled by different factors, so the direction changes. How many norms are there?",
        "各数组乘了不同的倍数，方向变了。一共应当有几个范数？"),
    within="clip_grad_norm",
    replace={"g *= max_norm / norm": "g *= min(1, max_norm / max(np.sqrt(np.sum(g**2)), 1e-12))"},
)
check_clip_grad_norm.mistake(
    say("Clipping each entry bends the direction. Scale the vector as a whole.",
        "逐元素裁剪会改变方向。应当把整个向量一起缩放。"),
    within="clip_grad_norm", replace={"g *= max_norm / norm": "np.clip(g, -max_norm, max_norm, out=g)"},
)
check_clip_grad_norm.mistake(
    say("Small gradients are blown up. When does the algorithm change anything at all?",
        "小的梯度被放大了。算法在什么情况下才会改动梯度？"),
    within="clip_grad_norm", replace={"if norm > max_norm:": "if norm > 0:"},
)
check_clip_grad_norm.mistake(
    say("The returned norm is right and the arrays are as before: g = g * s makes a new array.",
        "返回的范数正确，数组却没有变：g = g * s 会生成新数组。"),
    within="clip_grad_norm", replace={"g *= max_norm / norm": "g = g * (max_norm / norm)"},
)
check_clip_grad_norm.mistake(
    say("Return the norm before clipping: that is the one worth plotting.",
        "返回裁剪前的范数：值得画出来的正是它。"),
    within="clip_grad_norm", replace={"return norm": "return min(norm, max_norm)"},
)
check_clip_grad_norm.mistake(
    say("Norms do not add; their squares do.", "范数不能直接相加，相加的是平方。"),
    within="clip_grad_norm",
    replace={"float(np.sqrt(sum(np.sum(g**2) for g in grads)))": "float(sum(np.sqrt(np.sum(g**2)) for g in grads))"},
)


def made_model(CharRNN, V, H, rng):
    """A CharRNN with parameters drawn here."""
    model = CharRNN(V, H, np.random.default_rng(0))
    for name, p in model.params.items():
        model.params[name] = rng.normal(size=p.shape) * 0.5
    return model


@check()
def check_char_rnn_loss(CharRNN, rng):
    """Loss, gradients and the states handed on."""
    V, H, B, T = 7, 5, 3, 4
    model = made_model(CharRNN, V, H, rng)
    ids, targets = rng.integers(0, V, size=(2, B, T))
    ids[0, 0] = ids[1, 2] = targets[0, 1] = targets[2, 2] = V - 1
    h0 = rng.normal(size=(B, H)) * 0.5
    flat = CharRNN(V, H, np.random.default_rng(1))
    flat.params["Why"] = np.zeros((H, V))
    yield (say("an output layer of zeros: the loss is log V", "输出层为零：损失为 log V"),
           lambda: flat.loss_and_grads(ids, targets, 0 * h0)[0])
    yield (say("the loss, from an h0 that is not zero", "h0 不为零时的损失"),
           lambda: model.loss_and_grads(ids, targets, h0)[0])
    yield (say("the hidden states after the last column", "最后一列之后的隐藏状态"),
           lambda: model.loss_and_grads(ids, targets, h0)[2])
    yield (say("the names of the gradients", "梯度的名称"),
           lambda: sorted(model.loss_and_grads(ids, targets, h0)[1]), exactly())
    for name in ("by", "Why", "b", "Whh", "Wxh"):
        yield (say(f"the gradient of {name}", f"{name} 的梯度"),
               lambda name=name: model.loss_and_grads(ids, targets, h0)[1][name])
    big = made_model(CharRNN, V, H, rng)
    big.params["by"] = big.params["by"] + 1000.0 * np.arange(V)
    big.params["Why"] = big.params["Why"] * 3000.0
    yield (say("logits in the thousands: the loss", "logit 达到数千：损失"),
           lambda: big.loss_and_grads(ids, targets, h0)[0])
    yield (say("params and arguments are as they were", "params 与参数保持原样"),
           lambda: after(lambda: model.loss_and_grads(ids, targets, h0),
                         ids, targets, h0, *(p for _, p in sorted(model.params.items()))))


@check_char_rnn_loss.hidden
def _(CharRNN, rng):
    text = np.tile(rng.permutation(6), 10)[None]
    model = CharRNN(6, 8, np.random.default_rng(int(rng.integers(1000))))

    def descend():
        losses = []
        for _ in range(20):
            loss, grads, _ = model.loss_and_grads(text[:, :-1], text[:, 1:], np.zeros((1, 8)))
            for name in sorted(grads):
                model.params[name] = model.params[name] - 0.3 * grads[name]
            losses.append(loss)
        return losses

    yield (say("the loss over 20 steps of gradient descent", "20 步梯度下降中的损失"),
           descend, close(rtol=1e-4, atol=1e-6))


check_char_rnn_loss.mistake(
    say("Loss and gradients belong to a sum. Over how many predictions is the mean taken?",
        "损失与梯度对应的是求和。平均要对多少次预测来取？"),
    within="CharRNN.loss_and_grads",
    replace={"loss = -np.sum(Y * log_p) / ids.size": "loss = -np.sum(Y * log_p)",
             "(np.exp(log_p) - Y) / ids.size": "np.exp(log_p) - Y"},
)
check_char_rnn_loss.mistake(
    say("The loss is averaged, its gradients are not.", "损失取了平均，梯度却没有。"),
    within="CharRNN.loss_and_grads", replace={"(np.exp(log_p) - Y) / ids.size": "np.exp(log_p) - Y"},
)
check_char_rnn_loss.mistake(
    say("The average is over the B sequences only; every character counts as one prediction.",
        "你只对 B 个序列取了平均；每个字符都算一次预测。"),
    within="CharRNN.loss_and_grads",
    replace={"loss = -np.sum(Y * log_p) / ids.size": "loss = -np.sum(Y * log_p) / len(ids)",
             "(np.exp(log_p) - Y) / ids.size": "(np.exp(log_p) - Y) / len(ids)"},
)
check_char_rnn_loss.mistake(
    say("The gradients of the recurrence look as if h0 had been zero. Where does the text go on from?",
        "循环部分像是从零状态开始的。文本是从哪里接着读的？"),
    within="CharRNN.loss_and_grads", replace={"rnn_forward(np.eye(V)[ids], h0,": "rnn_forward(np.eye(V)[ids], 0 * h0,"},
)
check_char_rnn_loss.mistake(
    say("Hand on the states after the LAST column, not the first.", "交出去的应当是最后一列之后的状态，而不是第一列的。"),
    within="CharRNN.loss_and_grads", replace={"h[:, -1]": "h[:, 0]"},
)
check_char_rnn_loss.mistake(
    say("Big logits overflow. What may be subtracted from a row of logits without changing softmax?",
        "logit 很大时溢出了。从一行 logit 中减去什么，softmax 不变？"),
    within="CharRNN.loss_and_grads",
    replace={"logits = logits - logits.max(axis=-1, keepdims=True)\n": "\n"},
)


@check()
def check_char_rnn_sample(CharRNN, rng):
    """Reading a prompt, then writing."""
    V, H = 9, 6
    model = made_model(CharRNN, V, H, rng)
    for name in model.params:
        model.params[name] *= 3
    prompt = rng.integers(0, V, size=5)
    seed = int(rng.integers(10**6))

    def write(prompt, n, temperature=1.0):
        out = model.sample(prompt.copy(), n, np.random.default_rng(seed), temperature)
        return np.asarray(out)

    yield (say("temperature 0 after one character", "一个字符之后，温度为 0"),
           lambda: write(prompt[:1], 8, 0), exactly())
    yield (say("temperature 0 after a prompt of five", "五个字符的提示之后，温度为 0"),
           lambda: write(prompt, 8, 0), exactly())
    yield (say("temperature 1, 60 characters", "温度为 1，写 60 个字符"), lambda: write(prompt, 60), exactly())
    yield (say("temperature 2.5, 60 characters", "温度为 2.5，写 60 个字符"),
           lambda: write(prompt, 60, 2.5), exactly())
    yield (say("temperature 0.5, 60 characters", "温度为 0.5，写 60 个字符"),
           lambda: write(prompt, 60, 0.5), exactly())

    def large():
        saved = model.params["by"]
        model.params["by"] = saved + np.where(np.arange(V) == V // 2, -3000.0, 3000.0)
        try:
            return write(prompt, 40)
        finally:
            model.params["by"] = saved

    yield (say("logits near 3000, one near −3000, 40 characters",
               "logit 在 3000 附近，有一个在 −3000 附近，写 40 个字符"), large, exactly())

    def spent(temperature):
        source = np.random.default_rng(seed)
        model.sample(prompt.copy(), 11, source, temperature)
        return float(source.random())

    yield (say("rng after 11 characters at temperature 1: called 11 times", "温度为 1 写 11 个字符之后的 rng：恰好调用 11 次"),
           lambda: spent(1.0))
    yield (say("rng after 11 characters at temperature 0: not called", "温度为 0 写 11 个字符之后的 rng：没有被调用"),
           lambda: spent(0))


check_char_rnn_sample.mistake(
    say("Only the last character of the prompt is read.", "提示中只有最后一个字符被读入。"),
    within="CharRNN.sample", replace={"unread = prompt": "unread = prompt[-1:]"},
)
check_char_rnn_sample.mistake(
    say("The prompt is read once; then each new character must be read before the next is drawn. Is yours?",
        "提示只读一遍；之后每个新字符都要先读入，再抽下一个。你读入了吗？"),
    within="CharRNN.sample", replace={"unread = [k]": "unread = prompt[-1:]"},
)
check_char_rnn_sample.mistake(
    say("The whole prompt is read again before every character; the state already knows it.",
        "每写一个字符都把整个提示重读了一遍；状态里早已有它。"),
    within="CharRNN.sample", replace={"unread = [k]": "unread = [*prompt, k]"},
)
check_char_rnn_sample.mistake(
    say("High and low temperature are swapped: which one flattens the distribution?",
        "高温与低温弄反了：哪一个使分布更平？"),
    within="CharRNN.sample", replace={"(logits - logits.max()) / temperature": "(logits - logits.max()) * temperature"},
)
check_char_rnn_sample.mistake(
    say("You take the largest logit at every temperature; that is not drawing.",
        "无论温度多少，你总是取最大的 logit；这不是抽样。"),
    within="CharRNN.sample", replace={"if temperature == 0:": "if temperature >= 0:"},
)
check_char_rnn_sample.mistake(
    say("Off by one: k is the first place where the running sum EXCEEDS u, and the sum starts with p_0.",
        "差了一个：k 是累积和首次超过 u 的位置，而累积和从 p_0 开始。"),
    within="CharRNN.sample", replace={'int(np.searchsorted(c, rng.random(), side="right"))': 'int(np.searchsorted(c, rng.random(), side="right")) + 1'},
)


@check()
def check_lstm_step_backward(lstm_step_backward, rng):
    """One LSTM step, backwards."""
    B, D, H = 3, 2, 4
    x, h_prev, c_prev = (rng.normal(size=(B, n)) for n in (D, H, H))
    Wx, Wh = rng.normal(size=(D, 4 * H)), rng.normal(size=(H, 4 * H))
    a = np.split(x @ Wx + h_prev @ Wh + rng.normal(size=4 * H), 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-a[k])) for k in (0, 1, 3))
    g = np.tanh(a[2])
    cache = (x, h_prev, c_prev, i, f, g, o, f * c_prev + i * g, Wx, Wh)
    dh, dc = rng.normal(size=(2, B, H))
    names = ("dx", "dh_prev", "dc_prev", "dWx", "dWh", "db")
    yield (say("dh = 0: dc_prev, along the line of c alone", "dh = 0：dc_prev，只沿着 c 这条线"),
           lambda: lstm_step_backward(0 * dh, dc.copy(), copies(cache))[2])
    yield (say("dc = 0: dc_prev, from h through tanh(c)", "dc = 0：dc_prev，从 h 经过 tanh(c)"),
           lambda: lstm_step_backward(dh.copy(), 0 * dc, copies(cache))[2])
    for k, gate in enumerate("ifgo"):
        yield (say(f"the block of db that belongs to {gate}", f"db 中属于 {gate} 的一段"),
               lambda k=k: np.asarray(
                   lstm_step_backward(dh.copy(), dc.copy(), copies(cache))[5])[k * H : (k + 1) * H])
    for k, name in enumerate(names):
        yield (say(f"both dh and dc: {name}", f"dh 与 dc 都不为零：{name}"),
               lambda k=k: lstm_step_backward(dh.copy(), dc.copy(), copies(cache))[k])
    kept = (dh.copy(), dc.copy(), *copies(cache))
    yield (say("the arguments are as they were", "参数保持原样"),
           lambda: after(lambda: lstm_step_backward(kept[0], kept[1], kept[2:]), *kept))


check_lstm_step_backward.mistake(
    say("c reaches the loss in two ways. One of them, through this step's h, is missing.",
        "c 通过两条途径影响损失。缺了其中一条：经过这一步的 h。"),
    within="lstm_step_backward", replace={"dc = dc + dh * o * (1 - tanh_c**2)": "dc = dc + 0 * dh"},
)
check_lstm_step_backward.mistake(
    say("Right when dc = 0. What arrives from later steps must be added, not replaced.",
        "dc = 0 时正确。从后面各步传来的部分要加上，而不是被覆盖。"),
    within="lstm_step_backward", replace={"dc = dc + dh * o": "dc = dh * o"},
)
check_lstm_step_backward.mistake(
    say("dc_prev: by which gate was c_prev multiplied?", "dc_prev：c_prev 乘的是哪个门？"),
    within="lstm_step_backward", replace={"dc * f, x.T": "dc * i, x.T"},
)
check_lstm_step_backward.mistake(
    say("One block of db is off: g is a tanh, not a sigmoid. What is its slope?",
        "db 有一段不对：g 是 tanh 而不是 sigmoid。它的斜率是什么？"),
    within="lstm_step_backward", replace={"dc * i * (1 - g**2)": "dc * i * g * (1 - g)"},
)
check_lstm_step_backward.mistake(
    say("The forget gate multiplies the OLD memory. Which c stands beside it in the product?",
        "遗忘门乘的是旧的记忆。在乘积中与它相邻的是哪个 c？"),
    within="lstm_step_backward", replace={"dc * c_prev * f": "dc * c * f"},
)
check_lstm_step_backward.mistake(
    say("The blocks stand in another order than i, f, g, o.", "各段的次序不是 i、f、g、o。"),
    within="lstm_step_backward",
    replace={"        dc * i * (1 - g**2),\n        dh * tanh_c * o * (1 - o),":
             "        dh * tanh_c * o * (1 - o),\n        dc * i * (1 - g**2),"},
)

EQUIVALENT = {
    "rnn_forward: Whh.shape[0] -> Whh.shape[1]": "Whh is square",
    "grad_norm_vs_time: 1 - h ** 2 -> h ** 2 - 1": "a sign does not change a length",
    "grad_norm_vs_time: g = g * slope[t] @ Whh.T -> g = -(g * slope[t] @ Whh.T)": "nor does this one",
    "clip_grad_norm: norm > max_norm -> norm >= max_norm": "at equality the factor is 1",
    **{f"CharRNN.loss_and_grads: np.einsum('bth,btv->hv', h, dlogits, optimize=True) -> "
       f"np.einsum('bth,btv->hv', h, dlogits{end})": "optimize only chooses the route"
       for end in ("", ", optimize=False")},
    "CharRNN.sample: np.searchsorted(c, rng.random(), side='right') -> np.searchsorted(c, rng.random())":
        "differs only where u equals a running sum in every digit",
    "CharRNN.sample: len(by) - 1 -> len(by) + 1": "only where rounding leaves the whole sum below u",
    "CharRNN.sample: np.array(out, dtype=int) -> np.array(out)": "differs for n = 0 only",
}
