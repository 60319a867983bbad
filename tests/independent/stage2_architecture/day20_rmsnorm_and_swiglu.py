"""Day 20 a second time, by other formulas and other idioms: nothing here is taken from solutions/."""

import itertools

import torch
from torch import nn


def rmsnorm(x, g, eps=1e-6):
    wide = x.double() if x.dtype == torch.float64 else x.float()
    rate = (torch.einsum("...i,...i->...", wide, wide) / x.shape[-1] + eps).rsqrt().unsqueeze(-1)
    return (wide * rate).type_as(x).mul(g), {"x": wide, "rate": rate, "g": g}


def rmsnorm_backward(dy, cache):
    """With the Jacobian of each vector written out in full."""
    x, rate, d = cache["x"], cache["rate"], dy.shape[-1]
    hat, wide = x * rate, dy.to(x.dtype)
    J = (torch.eye(d, dtype=x.dtype) - torch.einsum("...i,...j->...ij", hat, hat) / d) * rate[..., None]
    dx = torch.einsum("...i,i,...ij->...j", wide, cache["g"].to(x.dtype), J)
    dg = torch.einsum("ni,ni->i", wide.reshape(-1, d), hat.reshape(-1, d))
    return [dx.type_as(dy), dg.type_as(dy)]


class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        nn.Module.__init__(self)
        self.register_parameter("weight", nn.Parameter(torch.full((dim,), 1.0)))
        self.epsilon = eps

    def forward(self, x):
        y, _ = rmsnorm(x, eps=self.epsilon, g=self.weight)
        return y


def rms_vs_layernorm(norm, W, X, a, v):
    W_column, X_row = W.clone(), X.clone()
    W_column[:, 0] *= a
    X_row[0, :] *= a
    pairs = [("data_scale", a * X, W), ("case_scale", X_row, W), ("data_shift", X + v[None, :], W),
             ("matrix_scale", X, W * a), ("column_scale", X, W_column),
             ("matrix_shift", X, W + torch.outer(v, torch.ones(W.shape[1], dtype=W.dtype)))]
    before = norm(torch.matmul(X, W))
    return {name: torch.dist(norm(torch.matmul(A, B)), before, p=float("inf")).item() for name, A, B in pairs}


def silu(x):
    return x * 0.5 * (1 + torch.tanh(x / 2))


def silu_grad(x):
    s = 1 / (1 + torch.exp(-x.clamp(-500, 500) if x.dtype == torch.float64 else -x.clamp(-80, 80)))
    return s + silu(x) * torch.sigmoid(-x)


def glu(x, kind):
    n, odd = divmod(x.shape[-1], 2)
    if odd or kind not in ("sigmoid", "bilinear", "relu", "gelu", "silu"):
        raise ValueError(kind)
    gate, value = x.narrow(-1, 0, n), x[..., n:]
    if kind == "sigmoid":
        gate = (1 + torch.tanh(gate / 2)) / 2
    elif kind == "relu":
        gate = gate.clamp(min=0)
    elif kind == "gelu":
        gate = gate * torch.erfc(-gate * 0.5**0.5) / 2
    elif kind == "silu":
        gate = silu(gate)
    return torch.mul(value, gate)


def swiglu_forward(x, W1, W3, W2):
    both = x @ torch.cat([W1, W3], dim=1)
    hidden = glu(both, "silu")
    return torch.matmul(hidden, W2), (x, both, hidden, (W1, W3, W2))


def swiglu(x, W1, W3, W2):
    y, _ = swiglu_forward(x, W1, W3, W2)
    return y


def swiglu_backward(dy, cache):
    x, both, hidden, (W1, W3, W2) = cache
    u, v = both.split(W1.shape[1], dim=-1)
    dh = torch.einsum("...d,hd->...h", dy, W2)
    pair = torch.cat([dh * v * silu_grad(u), dh * silu(u)], dim=-1)
    dx = torch.einsum("...h,dh->...d", pair, torch.cat([W1, W3], dim=1))

    def outer(a, b):
        return torch.tensordot(a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1]), dims=([0], [0]))

    dW1, dW3 = outer(x, pair).chunk(2, dim=1)
    return dx, dW1, dW3, outer(hidden, dy)


def glu_hidden(dff, multiple_of=1):
    hidden = int(2 * dff / 3)
    return next(n for n in itertools.count(multiple_of, multiple_of) if n >= hidden)


class SwiGLU(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.w2 = nn.Linear(hidden, dim, bias=False)
        for name in ("w3", "w1"):
            self.add_module(name, nn.Linear(dim, hidden, bias=False))

    def forward(self, x):
        return swiglu(x, self.w1.weight.T, self.w3.weight.T, self.w2.weight.T)


def entropy(logits, y):
    picked = logits.log_softmax(dim=-1).gather(-1, y.unsqueeze(-1))
    return -picked.mean()


def train_and_test(model, batches, test, lr):
    adam, history = torch.optim.Adam(list(model.parameters()), lr=lr, foreach=False), []
    for x, y in batches:
        adam.zero_grad(set_to_none=False)
        loss = entropy(model.train()(x), y)
        history += [float(loss)]
        loss.backward()
        adam.step()
    with torch.inference_mode():
        tested = float(entropy(model.eval()(test[0]), test[1]))
    return history, float("inf") if tested != tested or abs(tested) == float("inf") else tested


def norm_ablation(norms, make_model, batches, test, lr, seeds):
    rows = {name: {"losses": []} for name in norms}
    for seed, name in itertools.product(seeds, norms):
        torch.random.manual_seed(seed)
        model = make_model(norms[name])
        rows[name]["parameters"] = sum(len(p.detach().flatten()) for p in model.parameters())
        rows[name]["losses"].append(train_and_test(model, batches, test, lr)[1])
    for row in rows.values():
        row["mean"] = float(torch.tensor(row["losses"], dtype=torch.float64).mean())
    return rows


def ffn_activation_ablation(variants, dff, make_model, batches, test, lr, seeds):
    rows = {}
    for name, (kind, gated) in variants.items():
        hidden = glu_hidden(dff) if gated else dff
        one = norm_ablation({name: hidden}, lambda n, k=kind, g=gated: make_model(k, g, n), batches, test, lr, seeds)
        rows[name] = {**one[name], "hidden": hidden}
    return rows
