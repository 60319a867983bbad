"""Day 14 a second time, by other formulas and other idioms: nothing here is taken from solutions/."""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


def get_batch(data, T, B, seed):
    windows = np.asarray(data).astype(np.int64)
    places = windows.size - T
    if places <= 0:
        raise ValueError("too short")
    view = np.lib.stride_tricks.sliding_window_view(windows, T + 1)
    rows = torch.from_numpy(view[np.random.default_rng(seed).integers(0, places, size=B)])
    return [rows[:, :T].clone(), rows[:, 1:].clone()]


@dataclass
class GPTConfig:
    vocab: int
    T: int
    L: int
    h: int
    d: int
    dropout: float = 0.0


class Norm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.g, self.b = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        var, mu = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
        return (x - mu) * (var + 1e-5).rsqrt() * self.g + self.b


class Attn(nn.Module):
    def __init__(self, d, h, small):
        super().__init__()
        for name in ("Wq", "Wk", "Wv", "Wo"):
            setattr(self, name, nn.Parameter(torch.randn(d, d) * (small if name == "Wo" else 0.02)))
        self.h = h

    def forward(self, x):
        B, T, d = x.shape
        q, k, v = ((x @ W).view(B, T, self.h, -1).permute(0, 2, 1, 3)
                   for W in (self.Wq, self.Wk, self.Wv))
        scores = torch.einsum("bhtj,bhsj->bhts", q, k) * (d / self.h) ** -0.5
        future = torch.triu(torch.ones_like(scores, dtype=torch.bool), 1)
        out = torch.softmax(scores.masked_fill(future, -math.inf), -1) @ v
        return out.permute(0, 2, 1, 3).flatten(2) @ self.Wo


class MLP(nn.Module):
    def __init__(self, d, small):
        super().__init__()
        self.W1, self.b1 = nn.Parameter(torch.randn(d, 4 * d) * 0.02), nn.Parameter(torch.zeros(4 * d))
        self.W2, self.b2 = nn.Parameter(torch.randn(4 * d, d) * small), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        return nn.functional.gelu(x @ self.W1 + self.b1) @ self.W2 + self.b2


class Layer(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        small = 0.02 * (2 * cfg.L) ** -0.5
        self.ffn, self.attn = MLP(cfg.d, small), Attn(cfg.d, cfg.h, small)
        self.ln1, self.ln2 = Norm(cfg.d), Norm(cfg.d)
        self.drop = nn.Dropout(cfg.dropout)

    def forward(self, x):
        x = x + self.drop(self.attn(self.ln1(x)))
        return x + self.drop(self.ffn(self.ln2(x)))


class GPT(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.ln, self.drop, self.cfg = Norm(cfg.d), nn.Dropout(cfg.dropout), cfg
        self.blocks = nn.ModuleList(Layer(cfg) for _ in range(cfg.L))
        self.wpe = nn.Parameter(torch.randn(cfg.T, cfg.d) * 0.02)
        self.wte = nn.Parameter(torch.randn(cfg.vocab, cfg.d) * 0.02)

    def forward(self, idx):
        if idx.size(1) > len(self.wpe):
            raise ValueError("too long")
        places = torch.arange(idx.size(1), device=idx.device)
        x = self.drop(nn.functional.embedding(idx, self.wte) + self.wpe[places])
        for block in self.blocks:
            x = block(x)
        return nn.functional.linear(self.ln(x), self.wte)


def clm_loss(logits, targets):
    counts = targets >= 0
    right = logits.gather(2, targets.clamp(min=0).unsqueeze(2)).squeeze(2)
    return (torch.logsumexp(logits, 2) - right)[counts].sum() / counts.sum()


def ntp_loss(logits, ids):
    nothing = torch.full_like(ids[:, :1], -1)
    return clm_loss(logits, torch.cat([ids[:, 1:], nothing], 1))


def adamw_groups(model, weight_decay):
    sides = defaultdict(dict)
    for p in model.parameters():
        if p.requires_grad:
            sides[p.dim() > 1][id(p)] = p
    return [dict(params=[*sides[True].values()], weight_decay=weight_decay),
            dict(params=[*sides[False].values()], weight_decay=0.0, eps=1e-8)]


def learning_rate(step, steps, peak, warmup):
    if step >= warmup:
        u = (step - warmup) / (steps - warmup)
        return peak * (0.1 + 0.9 * math.cos(math.pi * u / 2) ** 2)
    return (step + 1) * peak / warmup


def fit(model, batch, steps, lr=1e-3, warmup=100, weight_decay=0.1, clip=1.0):
    optimiser = torch.optim.AdamW(adamw_groups(model, weight_decay), betas=(0.9, 0.99))
    losses, rates = [], []
    model.train(True)
    for k in range(steps):
        model.zero_grad()
        x, y = batch(k)
        loss = clm_loss(model(x), y)
        loss.backward()
        grads = [p.grad for p in model.parameters()]
        norm = torch.cat([g.flatten() for g in grads]).norm()
        for g in grads:
            g *= min(1.0, clip / float(norm))
        rates.append(learning_rate(k, steps, lr, warmup))
        for group in optimiser.param_groups:
            group.update(lr=rates[-1])
        optimiser.step()
        losses.append(float(loss.detach()))
    model.train(False)
    return {"lr": rates, "loss": losses}


def train_gpt(cfg, data, steps, B=12, lr=1e-3, warmup=100, weight_decay=0.1, seed=0, device="cpu"):
    torch.manual_seed(seed)
    model = GPT(cfg)
    model.to(device)
    history = fit(model, lambda k: [part.to(device) for part in get_batch(data, cfg.T, B, 7919 * k + seed)],
                  steps, lr, warmup, weight_decay)
    return [model, history]


def generate(model, idx, n, temp=1.0, top_k=None, seed=0):
    """Draws with Gumbel noise: argmax of logits − log(−log u)."""
    rng, mode = np.random.default_rng(seed), model.training
    model.train(False)
    out = idx.clone()
    with torch.inference_mode():
        for _ in range(n):
            logits = model(out[:, max(0, out.size(1) - model.cfg.T) :])[:, -1].double()
            if temp:
                order = logits.argsort(dim=1, descending=True)
                if top_k:
                    logits = logits.scatter(1, order[:, top_k:], -math.inf)
                noise = -torch.log(-torch.log(torch.from_numpy(rng.random(tuple(logits.shape)))))
                logits = logits / temp + noise
            out = torch.hstack([out, logits.argmax(1)[:, None]])
    model.train(mode)
    return out.clone()
