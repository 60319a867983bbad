"""Day 8 a second time, by other formulas and other idioms."""

import numpy as np
import torch


def skipgram_pairs(tokens, w):
    ids = tokens.tolist()
    rows = []
    for i, centre in enumerate(ids):
        left, right = ids[max(0, i - w) : i], ids[i + 1 : i + 1 + w]
        rows += [[centre, context] for context in left + right]
    return torch.tensor(rows, dtype=torch.long) if rows else torch.zeros(0, 2, dtype=torch.long)


def cbow_pairs(tokens, w):
    padded = torch.nn.functional.pad(tokens, (w, w), value=-1)
    windows = padded.unfold(0, 2 * w + 1, 1)
    return [torch.cat([windows[:, :w], windows[:, w + 1 :]], dim=1), windows[:, w]]


def noise_distribution(counts, power=0.75):
    logs = power * torch.log(counts.float())
    logs[counts == 0] = -torch.inf
    return torch.softmax(logs, 0)


def sample_negatives(p, B, k, generator):
    edges = torch.cumsum(p.double(), 0)
    u = torch.rand(B, k, generator=generator, dtype=torch.float64) * edges[-1]
    return torch.searchsorted(edges, u, right=True)


def sgns_loss(c, o, neg):
    vectors = torch.cat([o.unsqueeze(1), -neg], dim=1)
    scores = torch.einsum("...d,...kd->...k", c, vectors)
    return -torch.nn.functional.logsigmoid(scores).sum() / c.shape[0]


def sgns_grads(c, o, neg):
    vectors = torch.cat([o[:, None], -neg], dim=1)
    slope = -torch.sigmoid(-(vectors @ c[:, :, None]))[..., 0] / c.shape[0]
    dc = (slope[..., None] * vectors).sum(1)
    dv = slope[..., None] * c[:, None]
    return [dc, dv[:, 0], -dv[:, 1:]]


def sgns_step(E, O, centres, contexts, negatives, lr):
    hot = lambda ids: torch.nn.functional.one_hot(ids.flatten(), len(E)).to(E.dtype)  # noqa: E731
    loss = sgns_loss(E[centres], O[contexts], O[negatives]).item()
    dc, do, dn = sgns_grads(E[centres], O[contexts], O[negatives])
    E.sub_(lr * hot(centres).T @ dc)
    O.sub_(lr * (hot(contexts).T @ do + hot(negatives).T @ dn.reshape(-1, O.shape[1])))
    return loss


def train_word2vec(corpus, vocab, d=16, w=4, k=5, epochs=5, batch=64, lr=0.05, seed=0):
    rng, source = np.random.default_rng(seed), torch.Generator().manual_seed(seed + 1)
    pairs = np.concatenate([skipgram_pairs(s, w).numpy() for s in corpus])
    counts = np.zeros(vocab)
    for sentence in corpus:
        np.add.at(counts, sentence.numpy(), 1)
    p = noise_distribution(torch.from_numpy(counts))
    E = torch.from_numpy(rng.uniform(-0.5 / d, 0.5 / d, (vocab, d)).astype(np.float32))
    O = torch.zeros_like(E)
    losses = []
    for _ in range(epochs):
        order = rng.permutation(pairs)
        for at in range(0, len(order), batch):
            c, o = torch.from_numpy(order[at : at + batch]).unbind(1)
            neg = sample_negatives(p, len(c), k, source)
            losses.append(sgns_step(E, O, c, o, neg, lr * len(c)))
    return E, O, losses


def analogy(E, a, b, c, top=5, exclude=True):
    lengths = E.norm(dim=1, keepdim=True)
    U = torch.where(lengths > 0, E / lengths, 0.0)
    target = U[a] - U[b] + U[c]
    cosines = (U * (target / target.norm())).sum(1)
    order = [i for i in cosines.argsort(descending=True).tolist()
             if not (exclude and i in (a, b, c))][:top]
    return order, cosines[order]


def analogy_accuracy(E, questions):
    right = {True: 0, False: 0}
    given = 0
    for a, b, c, d in questions.tolist():
        for exclude in (True, False):
            best = analogy(E, a, b, c, 1, exclude)[0][0]
            right[exclude] += best == d
            given += not exclude and best in (a, b, c)
    n = len(questions)
    return {"input": given / n, "plain": right[False] / n, "excluded": right[True] / n}
