"""Day 12 a second time, by other formulas and other idioms: nothing here is taken from solutions/."""

import numpy as np
import torch
from torch import nn


def layernorm_forward(x, g, b, eps=1e-5):
    var, mu = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    rate = (var + eps).rsqrt()
    return torch.addcmul(b, (x - mu) * rate, g), {"x": x, "mu": mu, "rate": rate, "g": g}


def layernorm(x, g, b, eps=1e-5):
    y, _ = layernorm_forward(x, g, b, eps=eps)
    return y


def layernorm_backward(dy, cache):
    """With the Jacobian of each vector written out in full."""
    x_hat, d = (cache["x"] - cache["mu"]) * cache["rate"], dy.shape[-1]
    eye = torch.eye(d, dtype=dy.dtype)
    J = (eye - 1 / d - torch.einsum("...i,...j->...ij", x_hat, x_hat) / d) * cache["rate"][..., None]
    dx = torch.einsum("...i,i,...ij->...j", dy, cache["g"], J)
    rows, hats = dy.reshape(-1, d), x_hat.reshape(-1, d)
    return [dx, torch.einsum("ni,ni->i", rows, hats), torch.ones(len(rows), dtype=dy.dtype) @ rows]


class LayerNorm(nn.Module):
    def __init__(self, d, eps=1e-5):
        nn.Module.__init__(self)
        self.register_parameter("b", nn.Parameter(torch.full((d,), 0.0)))
        self.register_parameter("g", nn.Parameter(torch.full((d,), 1.0)))
        self.epsilon = eps

    def forward(self, x):
        return layernorm(x, b=self.b, g=self.g, eps=self.epsilon)


def ffn(x, params):
    u = torch.matmul(x, params["W1"]).add(params["b1"])
    upper = 0.5 * torch.erfc(-u * 0.5**0.5)
    return torch.matmul(u * upper, params["W2"]).add(params["b2"])


class FFN(nn.Module):
    def __init__(self, d, dff):
        super().__init__()
        for name, shape in (("W2", (dff, d)), ("W1", (d, dff))):
            W = (2 * torch.rand(shape) - 1) / np.sqrt(shape[0])
            setattr(self, name, nn.Parameter(W.float()))
        self.b1, self.b2 = (nn.Parameter(torch.zeros(n)) for n in (dff, d))

    def forward(self, x):
        return ffn(x, dict(self.named_parameters()))


def sublayer(x, f, ln, norm):
    branches = {"pre": lambda: torch.add(f(ln(x)), x), "post": lambda: ln(torch.add(f(x), x))}
    if norm not in branches:
        raise ValueError("pre or post")
    return branches[norm]()


def identity_test(f, x, g):
    with torch.enable_grad():
        u = torch.tensor(x.detach().numpy(), requires_grad=True)
        y = f(u)
        total = (y * g).sum() + 0 * u.sum()
        v, = torch.autograd.grad(total, [u])
    gaps = [y.detach().numpy() - x.detach().numpy(), v.numpy() - g.numpy()]
    return tuple(float(np.max(np.abs(gap))) for gap in gaps)


class _Attention(nn.Module):
    """One head at a time."""

    def __init__(self, d, h):
        super().__init__()
        self.h = h
        for name in ("Wo", "Wv", "Wk", "Wq"):
            setattr(self, name, nn.Parameter((2 * torch.rand(d, d) - 1) / d**0.5))

    def forward(self, x, mask=None):
        B, T, d = x.shape
        allowed = torch.ones(B, self.h, T, T, dtype=torch.bool)
        if mask is not None:
            allowed = allowed & mask
        n, heads = d // self.h, []
        for i in range(self.h):
            q, k, v = ((x @ W)[..., i * n:(i + 1) * n] for W in (self.Wq, self.Wk, self.Wv))
            scores = torch.einsum("btn,bsn->bts", q, k) / n**0.5
            heads.append(scores.masked_fill(~allowed[:, i], -torch.inf).softmax(dim=-1) @ v)
        return torch.cat(heads, dim=-1) @ self.Wo


class Block(nn.Module):
    def __init__(self, cfg, norm="pre"):
        super().__init__()
        if norm != "pre" and norm != "post":
            raise ValueError(norm)
        self.first = norm == "pre"
        self.ln1, self.ln2 = LayerNorm(cfg.d), LayerNorm(cfg.d)
        self.ffn, self.attn = FFN(cfg.d, cfg.dff), _Attention(cfg.d, cfg.h)

    def forward(self, x, mask=None):
        if self.first:
            h = x + self.attn(self.ln1(x), mask)
            return h + self.ffn(self.ln2(h))
        h = self.ln1(x + self.attn(x, mask))
        return self.ln2(h + self.ffn(h))


def grad_norm_by_depth(mode, L, x, y, head, make_block):
    model = nn.Sequential(*(make_block(mode) for _ in range(L)))
    h = model(x)
    if mode == "pre":
        h = layernorm(h, torch.ones(h.shape[-1]), torch.zeros(h.shape[-1]))
    picked = (h @ head).log_softmax(dim=-1).gather(-1, y[..., None])
    (-picked).mean().backward()
    return [
        torch.cat([p.grad.ravel() for p in block.parameters()]).norm().item() for block in model
    ]
