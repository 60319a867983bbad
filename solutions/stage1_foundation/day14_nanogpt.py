"""Day 14: a small GPT, trained on characters and asked to write, in PyTorch.

Follows Karpathy's nanoGPT (https://github.com/karpathy/nanoGPT) and Radford et al., "Language Models
are Unsupervised Multitask Learners" (the GPT-2 report, 2019), section 2.3, on top of Day 12's block.
Leaves out biases in the attention, dropout on attention weights, mixed precision, compilation and
checkpoints (Days 34, 64 and 74).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ladder.training import Training

from .day11_multi_head_attention import causal_mask
from .day12_transformer_block import Block, BlockConfig, LayerNorm, sublayer


def get_batch(
    data: Int[Tensor, "N"], T: int, B: int, seed: int
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """B random windows of a text, and for each of their tokens the one that follows.

    ``data`` is a 1-d tensor of N token numbers, of any integer dtype. For each row b a start s is
    drawn, independently and with equal probability for every s for which both rows exist:

        x[b] = data[s], ..., data[s + T − 1],      y[b] = data[s + 1], ..., data[s + T].

    Returns ``(x, y)``, int64 and of shape (B, T). The same ``seed`` gives the same batch, another
    seed another one, and torch's global random generator is neither used nor changed. Raises
    ValueError if ``data`` is too short for a single window.
    """
    if len(data) < T + 1:
        raise ValueError(f"{len(data)} tokens are too few for windows of {T} and their targets")
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(len(data) - T, (B, 1), generator=generator)
    windows = data[starts + torch.arange(T + 1)].long()
    return windows[:, :-1], windows[:, 1:]


@dataclass
class GPTConfig:
    """Sizes: tokens in the vocabulary, longest context, blocks, heads, channels; dropout's p."""

    vocab: int
    T: int
    L: int
    h: int
    d: int
    dropout: float = 0.0


class GPT(nn.Module):
    """A decoder-only Transformer: token numbers in, logits of the next token out.

    ``GPT(cfg)`` keeps ``cfg`` as ``model.cfg``. All its parameters belong to these parts:

    - ``wte``, an ``nn.Parameter`` of shape (vocab, d): row i stands for token i;
    - ``wpe``, an ``nn.Parameter`` of shape (T, d): row t stands for position t;
    - ``blocks``, an ``nn.ModuleList`` of L pre-norm ``Block``s with d channels, h heads and 4 d
      hidden units;
    - ``ln``, a ``LayerNorm`` after the last block.

    There is no output matrix: the logit of token i is the dot product of the final vector with row i
    of ``wte`` (weight tying, arXiv 1608.05859).
    """

    def __init__(self, cfg: GPTConfig):
        """Make the model. The start is GPT-2's: entries of matrices are normal numbers with mean 0 and
        standard deviation 0.02, except for the matrices that write into the residual stream, ``Wo``
        of each attention and ``W2`` of each feed-forward network: there it is 0.02/√(2L). Biases
        are 0, gains 1. ``wte`` and ``wpe`` count as matrices.
        """
        super().__init__()
        self.cfg = cfg
        self.wte = nn.Parameter(torch.empty(cfg.vocab, cfg.d))
        self.wpe = nn.Parameter(torch.empty(cfg.T, cfg.d))
        sizes = BlockConfig(d=cfg.d, h=cfg.h, dff=4 * cfg.d)
        self.blocks = nn.ModuleList([Block(sizes, "pre") for _ in range(cfg.L)])
        self.ln = LayerNorm(cfg.d)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                writes = name.endswith(("Wo", "W2"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * cfg.L) if writes else 0.02)

    def forward(self, idx: Int[Tensor, "B t"]) -> Float[Tensor, "B t vocab"]:
        """The logits of the next token, after each token of ``idx``.

        ``idx`` is int64 of shape (B, t), 1 <= t <= cfg.T; a longer one raises ValueError. The first
        token stands at position 0. What comes out at a token depends on it and on those before it,
        on none after it. The result lies on the device of the parameters, as ``idx`` does.

        In training mode dropout with probability ``cfg.dropout`` (``F.dropout``) is applied to the sum
        of the embeddings, and to the output of each attention and of each feed-forward network before
        it is added to the residual stream (arXiv 1706.03762, section 5.4). In evaluation mode there
        is none.
        """
        t = idx.shape[1]
        if t > self.cfg.T:
            raise ValueError(f"{t} tokens, but the model has {self.cfg.T} positions")

        def drop(u: Tensor) -> Tensor:
            return F.dropout(u, self.cfg.dropout, self.training)

        mask = causal_mask(t).to(idx.device)
        x = drop(self.wte[idx] + self.wpe[:t])
        for block in self.blocks:
            x = sublayer(x, lambda u, b=block: drop(b.attn(u, mask)), block.ln1, "pre")
            x = sublayer(x, lambda u, b=block: drop(b.ffn(u)), block.ln2, "pre")
        return self.ln(x) @ self.wte.T


def clm_loss(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Cross-entropy (in nats) of logits with the targets at the same places, a scalar tensor.

    The mean of −log softmax(logits[b, t])[targets[b, t]] over all places whose target is not −1: −1
    marks places that do not count, such as padding. At least one counts. Finite for finite logits
    of any size; gradients flow to ``logits``.
    """
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)


def ntp_loss(logits: Float[Tensor, "B T V"], ids: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Next-token prediction: the loss of the logits of a model for the very tokens that it read.

    ``logits[b, t]`` was computed from ids[b, 0], ..., ids[b, t] and is judged by the token that
    follows. The mean cross-entropy over all B (T − 1) places with a following token in ``ids``, T at
    least 2. An id −1 is padding: places whose following token is −1 do not count, as in ``clm_loss``.
    """
    return clm_loss(logits[:, :-1], ids[:, 1:])


def adamw_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for ``torch.optim.AdamW``: which parameters decay, and which do not.

    Returns a list of two dicts with the keys "params" (a list) and "weight_decay": first the
    parameters with two or more dimensions, with ``weight_decay``; then all others, with 0.0. Only
    parameters with ``requires_grad`` take part, each exactly once, even if two modules share it; the
    order within a group is up to you. A group may be empty.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """The learning rate of step 0, 1, ..., steps − 1: a linear warm-up, then half a cosine.

        step < warmup:    peak · (step + 1) / warmup
        otherwise:        floor + (peak − floor) · (1 + cos(π u)) / 2,
                          u = (step − warmup) / (steps − warmup),   floor = peak / 10.

    ``warmup`` may be 0 and is less than ``steps``.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    floor = peak / 10
    u = (step - warmup) / (steps - warmup)
    return floor + (peak - floor) * (1 + math.cos(math.pi * u)) / 2


def fit(
    model: nn.Module,
    batch: Callable[[int], tuple[Tensor, Tensor]],
    steps: int,
    lr: float = 1e-3,
    warmup: int = 100,
    weight_decay: float = 0.1,
    clip: float = 1.0,
) -> dict[str, list[float]]:
    """Train ``model``, a module that maps x (B, T) to logits (B, T, V), for ``steps`` steps.

    Step k = 0, 1, ..., steps − 1, in training mode: ``batch(k)``, called once, gives (x, y). The loss
    is ``clm_loss`` of the logits with y. If the gradients of all parameters together have a norm
    above ``clip``, all are scaled to the norm ``clip``. Then follows one step of
    ``torch.optim.AdamW`` on ``adamw_groups(model, weight_decay)`` with betas (0.9, 0.99) and the
    rate ``learning_rate(k, steps, lr, warmup)``.

    Returns the history, a dict with the lists "loss" (each before its update) and "lr" of Python
    floats, one for each step. Afterwards the model is in evaluation mode. Gradients that the parameters
    carry beforehand do not count. ``Training`` counts the steps, shows a bar and keeps the history.
    """
    optimiser = torch.optim.AdamW(adamw_groups(model, weight_decay), lr=lr, betas=(0.9, 0.99))
    model.train()
    with Training(steps, "GPT") as run:
        for step in run:
            rate = learning_rate(step, steps, lr, warmup)
            for group in optimiser.param_groups:
                group["lr"] = rate
            x, y = batch(step)
            loss = clm_loss(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimiser.step()
            run.log(loss=loss.item(), lr=rate)
    model.eval()
    return run.history


def train_gpt(
    cfg: GPTConfig, data: Int[Tensor, "N"], steps: int, B: int = 12, lr: float = 1e-3,
    warmup: int = 100, weight_decay: float = 0.1, seed: int = 0, device: str = "cpu",
) -> tuple[GPT, dict[str, list[float]]]:
    """Make a ``GPT`` and train it on a text: returns ``(model, history)``, the history of ``fit``.

    First ``seed`` goes to torch's global generator, then the model is made and moved to ``device``.
    The batch of step k is ``get_batch(data, cfg.T, B, ...)`` with a seed made of ``seed`` and k that is
    different for every k, moved to ``device`` too. The same arguments give the same history.
    """
    torch.manual_seed(seed)
    model = GPT(cfg).to(device)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        x, y = get_batch(data, cfg.T, B, 1_000_000 * seed + step)
        return x.to(device), y.to(device)

    return model, fit(model, batch, steps, lr, warmup, weight_decay)


@torch.no_grad()
def evaluate(model: GPT, data: Int[Tensor, "N"], B: int = 32) -> float:
    """The mean loss over a text, in nats per token, read in windows of the model's full context.

    Windows follow one another without overlap, so every token but the first is predicted once; what
    does not fill a window at the end is left out.
    """
    T, device = model.cfg.T, next(model.parameters()).device
    n = (len(data) - 1) // T
    x, y = data[: n * T].view(n, T), data[1 : n * T + 1].view(n, T)
    model.eval()
    total = 0.0
    for i in range(0, n, B):
        rows = slice(i, i + B)
        total += clm_loss(model(x[rows].to(device)), y[rows].to(device)).item() * len(x[rows])
    return total / n


@torch.no_grad()
def generate(
    model: nn.Module, idx: Int[Tensor, "B t"], n: int, temp: float = 1.0,
    top_k: int | None = None, seed: int = 0,
) -> Int[Tensor, "B t_plus_n"]:
    """Continue each row of ``idx`` by ``n`` tokens, one after the other.

    ``model`` maps (B, t) to logits (B, t, V) and reads at most ``model.cfg.T`` tokens: of a longer
    text it is given the last cfg.T. It is called once for each new token. The logits at the last
    place, divided by ``temp``, are the logits of the next token. With ``top_k`` all but the top_k
    most probable tokens get probability 0 (then no two logits are equal; top_k may exceed V). The next token
    of each row is drawn from this distribution; with ``temp`` = 0 it is the most probable one.

    Returns int64 of shape (B, t + n), ``idx`` first; t is at least 1, n may be 0. The draws come from
    a random generator of their own, so that ``seed`` fixes the result and torch's global generator
    stays as it is. The model runs in evaluation mode without gradients, and is afterwards in the
    mode in which it was. ``idx`` is left unchanged.
    """
    generator = torch.Generator(device=idx.device).manual_seed(seed)
    was_training = model.training
    model.eval()
    for _ in range(n):
        logits = model(idx[:, -model.cfg.T :])[:, -1]
        if temp == 0:
            following = logits.argmax(dim=-1, keepdim=True)
        else:
            logits = logits / temp
            if top_k is not None:
                least = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
                logits = logits.masked_fill(logits < least, -torch.inf)
            following = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
        idx = torch.cat([idx, following], dim=1)
    model.train(was_training)
    return idx
