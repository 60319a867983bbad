"""Day 22 a second time: groups as an axis of their own, loops, and caches that hand out copies."""

import torch
from torch import nn


def repeat_kv(x, n):
    return torch.stack([x[:, i // n] for i in range(x.shape[1] * n)], dim=1)


def gqa(q, k, v, n_kv_heads, mask=None):
    B, Hq, Tq, d = q.shape
    groups, rest = divmod(Hq, n_kv_heads)
    if rest or (k.shape[1], v.shape[1]) != (n_kv_heads, n_kv_heads):
        raise ValueError((Hq, n_kv_heads))
    split = q.unflatten(1, (n_kv_heads, groups))
    e = torch.einsum("bngtd,bnsd->bngts", split, k).div(d**0.5)
    e = (e - e.amax(-1, keepdim=True)).exp()
    if mask is not None:
        e = e * mask.expand(B, Hq, Tq, k.shape[2]).unflatten(1, (n_kv_heads, groups))
    total = e.sum(-1, keepdim=True)
    A = torch.where(total > 0, e / total, 0.0)
    return torch.einsum("bngts,bnsd->bngtd", A, v).flatten(1, 2)


def pool_kv_heads(W, h, n_kv_heads):
    if h % n_kv_heads:
        raise ValueError(h)
    heads = W.chunk(h)
    g = h // n_kv_heads
    return torch.cat([sum(heads[j * g : (j + 1) * g]) / g for j in range(n_kv_heads)])


def cached_mask(Tq, Tk):
    if Tk < Tq:
        raise ValueError((Tq, Tk))
    rows = []
    for i in range(Tq):
        seen = Tk - Tq + i + 1
        rows.append([True] * seen + [False] * (Tk - seen))
    return torch.tensor(rows)


class KVCache:
    def __init__(self, B, Hkv, max_len, d, dtype=torch.float32):
        self.k, self.v = torch.empty(2, B, Hkv, max_len, d, dtype=dtype).fill_(float("nan"))
        self.length = 0

    @torch.no_grad()
    def update(self, k, v):
        T = k.size(2)
        B, Hkv, room, d = self.k.shape
        if list(k.shape) != [B, Hkv, T, d] or list(v.shape) != [B, Hkv, T, d]:
            raise ValueError("shape")
        if self.length + T > room:
            raise ValueError("full")
        places = torch.arange(self.length, self.length + T)
        self.k.index_copy_(2, places, k.to(self.k.dtype))
        self.v.index_copy_(2, places, v.to(self.v.dtype))
        self.length += T
        return [self.k.narrow(2, 0, self.length).clone(), self.v.narrow(2, 0, self.length).clone()]


def turn(x, cos, sin):
    z = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    turned = z * torch.complex(cos.to(x.dtype), sin.to(x.dtype))
    return torch.view_as_real(turned).flatten(-2)


class GQAttention(nn.Module):
    def __init__(self, d, h, h_kv):
        nn.Module.__init__(self)
        self.h, self.h_kv, self.size = h, h_kv, d // h
        self.wq, self.wo = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.wk = nn.Linear(d, self.size * h_kv, bias=False)
        self.wv = nn.Linear(d, self.size * h_kv, bias=False)

    def forward(self, x, cos, sin, cache=None):
        def heads(linear):
            return linear(x).unflatten(2, (-1, self.size)).movedim(2, 1)

        q, k, v = turn(heads(self.wq), cos, sin), turn(heads(self.wk), cos, sin), heads(self.wv)
        before = 0
        if cache is not None:
            before = cache.length
            k, v = cache.update(k, v)
        outs = []
        for t in range(x.shape[1]):  # one query at a time needs no mask
            seen = before + t + 1
            outs.append(gqa(q[:, :, t : t + 1], k[:, :, :seen], v[:, :, :seen], self.h_kv))
        return self.wo(torch.cat(outs, dim=2).movedim(1, 2).flatten(2))


def generate(model, idx, n, cache=True):
    tokens = idx.tolist()
    cfg = model.cfg
    dtype = next(model.parameters()).dtype
    caches = [KVCache(len(tokens), cfg.h_kv, cfg.max_len, cfg.d // cfg.h, dtype)
              for _ in range(cfg.L)] if cache else None
    done = 0
    with torch.inference_mode():
        while len(tokens[0]) < idx.shape[1] + n:
            fresh = torch.tensor([row[done:] for row in tokens])
            logits = model(fresh, caches, done)
            for row, scores in zip(tokens, logits[:, -1], strict=True):
                row.append(int(scores.argmax()))
            if cache:
                done += fresh.shape[1]
    return torch.tensor(tokens)


def kv_cache_bytes(L, Hkv, d, T, B, dtype=torch.bfloat16):
    layer = torch.empty(B, Hkv, T, d, dtype=dtype, device="meta")
    return L * (layer.nbytes + layer.nbytes)
