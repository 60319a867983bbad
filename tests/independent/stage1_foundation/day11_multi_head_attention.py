"""Day 11 a second time: index arithmetic, einsum over stacked heads, Jacobians instead of changes."""

import numpy as np
import torch
from torch import nn


def split_heads(x, h):
    if x.shape[-1] // h * h != x.shape[-1]:
        raise ValueError(h)
    return torch.stack(x.chunk(h, dim=-1), dim=1)


def merge_heads(x):
    return torch.cat(list(x.unbind(1)), dim=-1)


def view_trap(T, d, h):
    pairs = [[t, c] for t in range(T) for c in range(d)]
    token, channel = np.array(pairs).T.reshape(2, h, T, d // h)
    return token, channel


def weights_and_values(x, params, h, mask):
    d = x.shape[-1]
    if d % h:
        raise ValueError("d % h")
    q, k, v = (
        torch.einsum("btc,chj->bhtj", x, params[n].unflatten(1, (h, -1))) for n in ("Wq", "Wk", "Wv")
    )
    e = torch.einsum("bhtj,bhsj->bhts", q, k).mul((h / d) ** 0.5)
    e = (e - e.max()).exp()
    if mask is not None:
        e = e * mask
    return e / e.sum(-1, keepdim=True).clamp(min=1e-300), v


def mha(x, params, h, mask=None):
    return sum(head_contributions(x, params, h, mask))


def head_contributions(x, params, h, mask=None):
    A, v = weights_and_values(x, params, h, mask)
    terms = []
    for i, block in enumerate(params["Wo"].chunk(h)):
        terms.append(A[:, i] @ v[:, i] @ block)
    return torch.stack(terms)


def causal_mask(T):
    return torch.arange(T)[:, None] >= torch.arange(T)[None, :]


def padding_mask(lengths, T):
    rows = [[[[s < int(n) for s in range(T)]]] for n in lengths]
    return torch.tensor(rows)


def dependence(f, x):
    J = torch.autograd.functional.jacobian(lambda y: f(y * 1), x)      # (B, T, c, B, T, d)
    return J.abs().amax(dim=(0, 2, 3, 5)) > 0


class MultiHeadAttention(nn.Module):
    def __init__(self, d, h):
        nn.Module.__init__(self)
        if d != h * (d // h):
            raise ValueError((d, h))
        self.heads = h
        self.Wq, self.Wk, self.Wv, self.Wo = (
            nn.Parameter((2 * torch.rand(d, d) - 1) * d**-0.5) for _ in range(4)
        )

    def forward(self, x, mask=None):
        return mha(x, {n: getattr(self, n) for n in ("Wq", "Wk", "Wv", "Wo")}, self.heads, mask)


def from_torch(theirs):
    if theirs.in_proj_bias is not None:
        raise ValueError("biases")
    d = theirs.embed_dim
    W = theirs.in_proj_weight
    ours = MultiHeadAttention(d, theirs.num_heads).to(W.dtype)
    ours.load_state_dict({
        "Wq": W[:d].t(), "Wk": W[d:2 * d].t(), "Wv": W[2 * d:].t(),
        "Wo": theirs.out_proj.weight.t(),
    })
    return ours


def planted_heads(T, m):
    d = m + 2 * T
    k = d // 2
    W = {name: torch.zeros(d, d) for name in ("Wq", "Wk", "Wv", "Wo")}
    for t in range(T):
        W["Wk"][m + (t - 1) % T, t] = 8.0        # keys say which token comes after
        W["Wq"][m + t, t] = 9.0 * k**0.5
        W["Wq"][m + T + t, k + t] = 60.0
        W["Wk"][m + t, k + t] = 2.0
    for c in range(m):
        W["Wv"][c, k - 1 - c] = W["Wv"][c, d - 1 - c] = 0.5
        W["Wo"][k - 1 - c, c] = W["Wo"][d - 1 - c, m + c] = 2.0
    return W


def one_head_error(a, i, j):
    a = np.asarray(a, dtype=float)
    alpha, beta = a[i] / np.sum(a**2), a[j] / np.sum(a**2)
    basis = np.eye(len(a))
    errors = [np.sum((basis[i] - alpha * a) ** 2), np.sum((basis[j] - beta * a) ** 2)]
    return [alpha, beta, np.mean(errors)]
