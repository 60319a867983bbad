"""Day 9: a recurrent network, backpropagation through time and gradient clipping, in NumPy.

Follows Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural
networks" (arXiv 1211.5063): sections 1 and 2 for the gradients, 3.2 for clipping. Time runs
along axis 1, and examples are rows, as in Day 4. Leaves out GRU and the LSTM as a language
model (Day 17), and everything automatic.
"""

import numpy as np
from jaxtyping import Float, Int

from ladder.training import Training


def rnn_forward(
    x: Float[np.ndarray, "B T D"],
    h0: Float[np.ndarray, "B H"],
    Wxh: Float[np.ndarray, "D H"],
    Whh: Float[np.ndarray, "H H"],
    b: Float[np.ndarray, "H"],
) -> tuple[Float[np.ndarray, "B T H"], tuple]:
    """All hidden states of a single-layer RNN, from left to right.

    For each of the B sequences, with h_0 its row of ``h0`` and t = 1, …, T,

        h_t = tanh(x_t Wxh + h_{t−1} Whh + b)        (row vectors)

    where x_t is ``x[:, t - 1]``. Returns ``(h, cache)``: ``h[:, t - 1]`` is h_t, and
    ``cache`` is the tuple ``(x, h0, h, Wxh, Whh)``, what the way back needs. T ≥ 1. The
    arguments are left unchanged.
    """
    T = x.shape[1]
    h = np.empty((x.shape[0], T, Whh.shape[0]))
    h_t = h0
    for t in range(T):
        h_t = np.tanh(x[:, t] @ Wxh + h_t @ Whh + b)
        h[:, t] = h_t
    return h, (x, h0, h, Wxh, Whh)


def rnn_bptt(
    dh: Float[np.ndarray, "B T H"], cache: tuple
) -> tuple[
    Float[np.ndarray, "B T D"],
    Float[np.ndarray, "B H"],
    Float[np.ndarray, "D H"],
    Float[np.ndarray, "H H"],
    Float[np.ndarray, "H"],
]:
    """Backpropagation through time for ``rnn_forward``.

    ``cache`` is the tuple ``(x, h0, h, Wxh, Whh)`` that ``rnn_forward`` returned. Each h_t
    feeds the loss L in two ways: through its own output, and through h_{t+1}.
    ``dh[:, t - 1]`` holds the first part only, ∂L/∂h_t with h_{t+1} held fixed; the second
    part is yours. Returns the total gradients

        (dx, dh0, dWxh, dWhh, db) = ∂L/∂(x, h0, Wxh, Whh, b)

    each of the shape of what it belongs to. Examples and time steps are summed; nothing is
    averaged here. ``dh`` and the arrays in ``cache`` are left unchanged.
    """
    x, h0, h, Wxh, Whh = cache
    D, H = Wxh.shape
    before = np.concatenate([h0[:, None], h[:, :-1]], axis=1)
    dz = np.empty(h.shape)
    later = np.zeros(h0.shape)
    for t in reversed(range(h.shape[1])):
        dz[:, t] = (dh[:, t] + later) * (1 - h[:, t] ** 2)
        later = dz[:, t] @ Whh.T
    rows = dz.reshape(-1, H)
    dWxh = x.reshape(-1, D).T @ rows
    dWhh = before.reshape(-1, H).T @ rows
    db = rows.sum(axis=0)
    return dz @ Wxh.T, later, dWxh, dWhh, db


def grad_norm_vs_time(
    Whh: Float[np.ndarray, "H H"],
    T: int,
    g: Float[np.ndarray, "H"] | None = None,
    h: Float[np.ndarray, "T H"] | None = None,
) -> Float[np.ndarray, "steps"]:
    """How much of a gradient at the last step is left, k steps earlier.

    One sequence of the RNN of ``rnn_forward``, with a loss L that sees h_T only. ``g`` is
    ∂L/∂h_T; by default it is the vector of length 1 whose H entries are equal and positive.
    Returns ``norms`` of shape (T + 1,): ``norms[k]`` is the Euclidean length of
    ∂L/∂h_{T−k}, so ``norms[0]`` is that of ``g`` and ``norms[T]`` that of ∂L/∂h_0.

    ``h[t - 1]`` is the hidden state h_t of the forward pass, where tanh is differentiated.
    Without ``h`` the RNN is linear: tanh is replaced by the identity. Neither time nor
    memory grows faster than T H².
    """
    H = len(Whh)
    g = np.full(H, H**-0.5) if g is None else g
    slope = np.ones((T, H)) if h is None else 1 - h**2
    norms = [np.linalg.norm(g)]
    for t in reversed(range(T)):
        g = (g * slope[t]) @ Whh.T
        norms.append(np.linalg.norm(g))
    return np.array(norms)


def clip_grad_norm(grads: list[Float[np.ndarray, "..."]], max_norm: float) -> float:
    """Scale gradients so that their common norm is at most ``max_norm``, in place.

    The norm is the Euclidean length of all entries of all arrays taken as one vector. If
    it exceeds ``max_norm``, every array of ``grads`` is multiplied, in place, by the one
    factor that makes the norm equal to ``max_norm`` (Algorithm 1 of arXiv 1211.5063);
    otherwise nothing changes. Returns the norm BEFORE clipping, a float. The arrays are
    float64, may have any shapes, and are finite; they may all be zero.
    """
    norm = float(np.sqrt(sum(np.sum(g**2) for g in grads)))
    if norm > max_norm:
        for g in grads:
            g *= max_norm / norm
    return norm


class CharRNN:
    """A character-level language model: one-hot characters, one RNN layer, a linear output.

    ``params`` maps names to float64 arrays: ``Wxh`` (V, H), ``Whh`` (H, H) and ``b`` (H,)
    of the recurrence, ``Why`` (H, V) and ``by`` (V,) of the output. The logits for the
    character that follows x_t are h_t Why + by.
    """

    def __init__(self, vocab: int, hidden: int, rng: np.random.Generator) -> None:
        self.params = {
            "Wxh": rng.normal(size=(vocab, hidden)) * 0.1,
            "Whh": np.linalg.qr(rng.normal(size=(hidden, hidden)))[0],
            "b": np.zeros(hidden),
            "Why": rng.normal(size=(hidden, vocab)) * 0.01,
            "by": np.zeros(vocab),
        }

    def loss_and_grads(
        self,
        ids: Int[np.ndarray, "B T"],
        targets: Int[np.ndarray, "B T"],
        h0: Float[np.ndarray, "B H"],
    ) -> tuple[float, dict[str, Float[np.ndarray, "..."]], Float[np.ndarray, "B H"]]:
        """The loss of predicting ``targets`` from ``ids``, and its gradients.

        ``ids[i, t]`` is a character in {0, …, V−1}, fed to the RNN as a one-hot vector of
        length V; ``targets[i, t]`` is the character to be predicted from the hidden state
        after it. ``h0`` holds the hidden states before the first column. The loss is
        cross-entropy in nats, averaged over all B·T predictions.

        Returns ``(loss, grads, h_T)``: a number; a dict with the keys of ``params`` and
        arrays of their shapes; the hidden states after the last column, shape (B, H).
        Gradients do not flow out of ``h0``: what came before counts as a constant.
        Finite for all finite logits. ``params`` and the arguments are left unchanged.
        """
        Wxh, Whh, b, Why, by = self.params.values()
        V = len(by)
        h, cache = rnn_forward(np.eye(V)[ids], h0, Wxh, Whh, b)
        logits = h @ Why + by
        logits = logits - logits.max(axis=-1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        Y = np.eye(V)[targets]
        loss = -np.sum(Y * log_p) / ids.size
        dlogits = (np.exp(log_p) - Y) / ids.size
        _, _, dWxh, dWhh, db = rnn_bptt(dlogits @ Why.T, cache)
        grads = {
            "Wxh": dWxh, "Whh": dWhh, "b": db,
            "Why": np.einsum("bth,btv->hv", h, dlogits, optimize=True),
            "by": dlogits.sum(axis=(0, 1)),
        }
        return float(loss), grads, h[:, -1]

    def sample(
        self,
        prompt: Int[np.ndarray, "P"],
        n: int,
        rng: np.random.Generator,
        temperature: float = 1.0,
    ) -> Int[np.ndarray, "n"]:
        """Read ``prompt``, then write ``n`` further characters, one after the other.

        The hidden state starts at zero and reads all P ≥ 1 characters of the prompt. The
        next character is drawn from p = softmax(logits / temperature), is read in turn, and
        so on. To draw is to call ``rng.random()`` once, giving u, and to take the smallest k
        with p_0 + … + p_k > u. With ``temperature`` 0 the largest logit is taken instead,
        and ``rng`` is not called. Returns the ``n`` new characters, an integer array without
        the prompt.
        """
        Wxh, Whh, b, Why, by = self.params.values()
        out = []
        unread = prompt
        h_t = np.zeros(len(b))
        while len(out) < n:
            for k in unread:
                h_t = np.tanh(Wxh[k] + h_t @ Whh + b)
            logits = h_t @ Why + by
            if temperature == 0:
                k = int(np.argmax(logits))
            else:
                p = np.exp((logits - logits.max()) / temperature)
                c = np.cumsum(p / p.sum())
                k = min(int(np.searchsorted(c, rng.random(), side="right")), len(by) - 1)
            out.append(k)
            unread = [k]
        return np.array(out, dtype=int)


def train_char_rnn(
    model: CharRNN, ids: np.ndarray, steps: int, B: int = 32, T: int = 40,
    lr: float = 3e-3, max_norm: float = 1.0,
) -> dict[str, list[float]]:
    """Truncated BPTT: B places of the text are read side by side, T characters a step.

    The hidden states go on from step to step, gradients stay inside one. RMSprop with a
    learning rate that falls linearly to zero. Returns the history of loss and norm.
    """
    streams = ids[: len(ids) // B * B].reshape(B, -1)
    square = {name: np.zeros(p.shape) for name, p in model.params.items()}
    h = np.zeros((B, len(model.params["b"])))
    at = 0
    with Training(steps, "character RNN") as run:
        for step in run:
            if at + T + 1 > streams.shape[1]:
                at, h = 0, np.zeros_like(h)
            window = streams[:, at : at + T + 1]
            loss, grads, h = model.loss_and_grads(window[:, :-1], window[:, 1:], h)
            norm = clip_grad_norm(list(grads.values()), max_norm)
            for name, g in grads.items():
                square[name] += 0.05 * (g**2 - square[name])
                rate = lr * (1 - step / steps)
                model.params[name] -= rate * g / (np.sqrt(square[name]) + 1e-8)
            at += T
            run.log(loss=loss, norm=norm)
    return run.history


def evaluate(model: CharRNN, ids: np.ndarray, B: int = 16, T: int = 100) -> float:
    """Mean loss in nats over a text, read as B streams that each start from zeros."""
    streams = ids[: len(ids) // B * B].reshape(B, -1)
    h = np.zeros((B, len(model.params["b"])))
    total = count = 0
    for at in range(0, streams.shape[1] - 1, T):
        window = streams[:, at : at + T + 1]
        loss, _, h = model.loss_and_grads(window[:, :-1], window[:, 1:], h)
        total += loss * window[:, 1:].size
        count += window[:, 1:].size
    return total / count


def bigram_loss(train: np.ndarray, test: np.ndarray, vocab: int) -> float:
    """Mean loss in nats, on ``test``, of counted bigrams with one added to each count."""
    counts = np.ones((vocab, vocab))
    np.add.at(counts, (train[:-1], train[1:]), 1)
    p = counts / counts.sum(axis=1, keepdims=True)
    return float(-np.mean(np.log(p[test[:-1], test[1:]])))


def lstm_step(
    x: Float[np.ndarray, "B D"],
    h_prev: Float[np.ndarray, "B H"],
    c_prev: Float[np.ndarray, "B H"],
    Wx: Float[np.ndarray, "D 4*H"],
    Wh: Float[np.ndarray, "H 4*H"],
    b: Float[np.ndarray, "4*H"],
) -> tuple[Float[np.ndarray, "B H"], Float[np.ndarray, "B H"], tuple]:
    """One LSTM step; the four gates stand side by side in the order i, f, g, o."""
    a_i, a_f, a_g, a_o = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-a)) for a in (a_i, a_f, a_o))
    g = np.tanh(a_g)
    c = f * c_prev + i * g
    h = o * np.tanh(c)
    return h, c, (x, h_prev, c_prev, i, f, g, o, c, Wx, Wh)


def lstm_step_backward(
    dh: Float[np.ndarray, "B H"], dc: Float[np.ndarray, "B H"], cache: tuple
) -> tuple[
    Float[np.ndarray, "B D"],
    Float[np.ndarray, "B H"],
    Float[np.ndarray, "B H"],
    Float[np.ndarray, "D 4*H"],
    Float[np.ndarray, "H 4*H"],
    Float[np.ndarray, "4*H"],
]:
    """Send gradients back through one LSTM step.

    ``cache`` is the tuple that ``lstm_step`` returned,
    ``(x, h_prev, c_prev, i, f, g, o, c, Wx, Wh)``, of the step

        i, f, o = σ(a_i), σ(a_f), σ(a_o),  g = tanh(a_g),  [a_i a_f a_g a_o] = x Wx + h_prev Wh + b
        c = f ⊙ c_prev + i ⊙ g,            h = o ⊙ tanh(c)

    ``dh`` is ∂L/∂h. ``dc`` is the part of ∂L/∂c that comes from later steps through c
    itself; the part through this step's h is not in it. Returns
    ``(dx, dh_prev, dc_prev, dWx, dWh, db)``, total gradients, each of the shape of what it
    belongs to, summed over examples. The arguments are left unchanged.
    """
    x, h_prev, c_prev, i, f, g, o, c, Wx, Wh = cache
    tanh_c = np.tanh(c)
    dc = dc + dh * o * (1 - tanh_c**2)
    da = np.concatenate([
        dc * g * i * (1 - i),
        dc * c_prev * f * (1 - f),
        dc * i * (1 - g**2),
        dh * tanh_c * o * (1 - o),
    ], axis=1)
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, h_prev.T @ da, da.sum(axis=0)
