"""Day 9 a second time: PyTorch's autograd for the gradients, matrix powers, and plain loops."""

import bisect
import itertools

import numpy as np
import torch


def _t(a, grad=False):
    return torch.tensor(np.array(a, dtype=float), requires_grad=grad)


def rnn_forward(x, h0, Wxh, Whh, b):
    states = [h0]
    drive = np.einsum("btd,dh->tbh", x, Wxh) + b
    for u in drive:
        states.append(np.tanh(u + np.einsum("bi,ij->bj", states[-1], Whh)))
    h = np.stack(states[1:]).transpose(1, 0, 2)
    return h, [x, h0, h, Wxh, Whh]


def rnn_bptt(dh, cache):
    x, h0, h, Wxh, Whh = cache
    # The bias is not cached: take it back from the first state.
    b = np.arctanh(h[0, 0]) - x[0, 0] @ Wxh - h0[0] @ Whh
    leaves = [_t(a, grad=True) for a in (x, h0, Wxh, Whh, b)]
    X, now, Wx, Wh, bias = leaves
    loss = 0
    for t in range(h.shape[1]):
        now = torch.tanh(X[:, t] @ Wx + now @ Wh + bias)
        loss = loss + (now * _t(dh[:, t])).sum()
    return [g.numpy() for g in torch.autograd.grad(loss, leaves)]


def grad_norm_vs_time(Whh, T, g=None, h=None):
    H = Whh.shape[1]
    g = np.ones(H) / np.sqrt(H) if g is None else g
    J, norms = np.eye(H), [np.sqrt(g @ g)]
    for t in range(T, 0, -1):
        D = np.eye(H) if h is None else np.diag(1 - h[t - 1] * h[t - 1])
        J = Whh @ D @ J
        norms.append(np.sqrt(np.square(J @ g).sum()))
    return norms


def clip_grad_norm(grads, max_norm):
    flat = np.concatenate([g.ravel() for g in grads])
    norm = np.linalg.norm(flat)
    scale = 1.0 if norm <= max_norm else max_norm / norm
    for g in grads:
        g[...] = scale * g
    return norm


class CharRNN:
    def __init__(self, vocab, hidden, rng):
        self.params = {
            "Wxh": rng.normal(size=(vocab, hidden)) * 0.1,
            "Whh": np.linalg.qr(rng.normal(size=(hidden, hidden)))[0],
            "b": np.zeros(hidden),
            "Why": rng.normal(size=(hidden, vocab)) * 0.01,
            "by": np.zeros(vocab),
        }

    def loss_and_grads(self, ids, targets, h0):
        p = {name: _t(a, grad=True) for name, a in self.params.items()}
        h, logits = _t(h0), []
        for column in np.asarray(ids).T:
            h = torch.tanh(p["Wxh"][column.tolist()] + h @ p["Whh"] + p["b"])
            logits.append(h @ p["Why"] + p["by"])
        loss = torch.nn.functional.cross_entropy(
            torch.stack(logits, dim=1).flatten(0, 1), torch.tensor(targets).flatten())
        loss.backward()
        return loss.item(), {name: a.grad.numpy() for name, a in p.items()}, h.detach().numpy()

    def sample(self, prompt, n, rng, temperature=1.0):
        p = self.params
        written, h = [], np.zeros((1, len(p["b"])))
        for k in prompt:
            h = np.tanh(p["Wxh"][[k]] + h @ p["Whh"] + p["b"])
        for _ in range(n):
            logits = (h @ p["Why"] + p["by"])[0]
            if temperature:
                q = torch.softmax(_t(logits) / temperature, 0).tolist()
                k = bisect.bisect_right(list(itertools.accumulate(q)), rng.random())
            else:
                k = max(range(len(logits)), key=logits.__getitem__)
            written.append(k)
            h = np.tanh(p["Wxh"][[k]] + h @ p["Whh"] + p["b"])
        return written


def lstm_step_backward(dh, dc, cache):
    x, h_prev, c_prev, i, f, g, o, _, Wx, Wh = cache
    x, h_prev, c_prev, Wx, Wh = (_t(a, grad=True) for a in (x, h_prev, c_prev, Wx, Wh))
    a = np.concatenate([np.log(i / (1 - i)), np.log(f / (1 - f)), np.arctanh(g),
                        np.log(o / (1 - o))], axis=1)
    b = _t(a[0] - (x[0] @ Wx + h_prev[0] @ Wh).detach().numpy(), grad=True)
    i, f, g, o = (x @ Wx + h_prev @ Wh + b).chunk(4, dim=1)
    c = f.sigmoid() * c_prev + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    loss = (h * _t(dh)).sum() + (c * _t(dc)).sum()
    return torch.autograd.grad(loss, (x, h_prev, c_prev, Wx, Wh, b))
