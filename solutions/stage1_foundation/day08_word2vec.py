"""Day 8: word vectors by skip-gram with negative sampling (SGNS), and what analogies prove.

Follows Mikolov et al., "Distributed Representations of Words and Phrases and their
Compositionality" (arXiv 1310.4546), sections 2 and 2.2, with gradients by hand. Leaves out the
hierarchical softmax, phrases, subsampling of frequent words (section 2.3), and the decay of the
learning rate. CBOW (arXiv 1301.3781) is seen in its pairs only.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def royal_corpus(sentences: int, seed: int) -> tuple[list[Int[Tensor, "n"]], list[str]]:
    """Sentences by a small grammar, as ids, and the list of words (id to word).

    A person has a gender, a rank and an age; every other word of the sentence that depends on
    the person depends on one of the three alone.
    """
    people = ["man", "woman", "boy", "girl", "king", "queen", "prince", "princess"]
    gender = [["he", "his", "himself"], ["she", "her", "herself"]]
    age = [["works", "thinks", "travels"], ["plays", "learns", "jumps"]]
    rank = [["field", "market", "cottage"], ["palace", "throne", "garden"]]
    templates = [
        "the {person} {age} in {own} {rank}", "in the {rank} the {person} {age} by {self}",
        "{one} {age} says the {person} of the {rank}", "the {person} of the {rank} sees {self}",
        "{one} {age} and the {person} has a {rank}", "a {rank} for the {person} and {own} friend",
    ]
    rng = np.random.default_rng(seed)

    def pick(n):
        return int(rng.integers(n))

    lines = []
    for _ in range(sentences):
        who = pick(8)
        one, own, self_ = gender[who % 2]
        slots = dict(person=people[who], one=one, own=own, self=self_,
                     age=age[who // 2 % 2][pick(3)], rank=rank[who // 4][pick(3)])
        lines.append(templates[pick(6)].format(**slots).split())
    words = people + sorted({word for line in lines for word in line} - set(people))
    number = {word: i for i, word in enumerate(words)}
    return [torch.tensor([number[word] for word in line]) for line in lines], words


def skipgram_pairs(tokens: Int[Tensor, "n"], w: int) -> Int[Tensor, "p 2"]:
    """All pairs (centre, context) of one sentence.

    The context of position i is every other position j with |i − j| <= ``w``, as far as the
    sentence goes; a pair holds the tokens there. Rows are ordered by i, then by j. The result
    is an int64 tensor of shape (p, 2), also when there is no pair: (0, 2). ``w`` is at least 1.
    """
    n = len(tokens)
    pairs = [(i, j) for i in range(n) for j in range(max(0, i - w), min(n, i + w + 1)) if i != j]
    return tokens[torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)]


def cbow_pairs(
    tokens: Int[Tensor, "n"], w: int
) -> tuple[Int[Tensor, "n 2*w"], Int[Tensor, "n"]]:
    """The same windows for CBOW: all of a context at once, to predict the centre.

    Returns (contexts, centres), int64. Row i of ``contexts`` holds the tokens at the positions
    i − w, ..., i − 1, i + 1, ..., i + w in this order, and −1 at a position outside of the
    sentence; ``centres[i]`` is the token at i. There is a row for every position.
    """
    n = len(tokens)
    steps = torch.cat([torch.arange(-w, 0), torch.arange(1, w + 1)])
    positions = torch.arange(n)[:, None] + steps
    inside = (positions >= 0) & (positions < n)
    return tokens[positions.clamp(0, n - 1)].masked_fill(~inside, -1), tokens.clone()


def noise_distribution(counts: Int[Tensor, "V"], power: float = 0.75) -> Float[Tensor, "V"]:
    """The distribution that negatives are drawn from (arXiv 1310.4546, section 2.2).

    P(i) is proportional to ``counts[i]`` to the given power, and adds up to 1. A word that never
    occurs gets 0, for power 0 as well.
    """
    weights = torch.where(counts > 0, counts.double() ** power, 0)
    return weights / weights.sum()


def sample_negatives(
    p: Float[Tensor, "V"], B: int, k: int, generator: torch.Generator
) -> Int[Tensor, "B k"]:
    """``k`` negatives for each of ``B`` pairs: int64 ids, drawn independently from ``p``.

    So one id may come up several times in a row of the result, and may be the true context of
    its pair by accident. All randomness comes from ``generator``, which moves on: the next call
    with it gives new draws.
    """
    return torch.multinomial(p, B * k, replacement=True, generator=generator).reshape(B, k)


def sgns_loss(
    c: Float[Tensor, "B d"], o: Float[Tensor, "B d"], neg: Float[Tensor, "B k d"]
) -> Float[Tensor, ""]:
    """The loss of skip-gram with negative sampling, equation 4 of arXiv 1310.4546, negated:

        L = 1/B Σ_b [ −log σ(c_b · o_b) − Σ_j log σ(−c_b · n_bj) ]

    with c_b the vector of the centre, o_b that of the true context and n_bj those of the k
    negatives of pair b. The mean is over the B pairs, the sum over the negatives. Finite for
    dot products of ±1000 too. Write all dot products with ``torch.einsum``.
    """
    positive = torch.einsum("bd,bd->b", c, o)
    negative = torch.einsum("bd,bkd->bk", c, neg)
    softplus = torch.nn.functional.softplus  # −log σ(x) = log(1 + exp(−x))
    return (softplus(-positive) + softplus(negative).sum(dim=1)).mean()


def sgns_grads(
    c: Float[Tensor, "B d"], o: Float[Tensor, "B d"], neg: Float[Tensor, "B k d"]
) -> tuple[Float[Tensor, "B d"], Float[Tensor, "B d"], Float[Tensor, "B k d"]]:
    """The gradients of ``sgns_loss(c, o, neg)`` with respect to c, o and neg, by hand.

    No autograd: derive them. They have the shapes and the dtype of the arguments, which are left
    unchanged.
    """
    B = len(c)
    pull = (torch.sigmoid(torch.einsum("bd,bd->b", c, o)) - 1) / B
    push = torch.sigmoid(torch.einsum("bd,bkd->bk", c, neg)) / B
    return (
        pull[:, None] * o + torch.einsum("bk,bkd->bd", push, neg),
        pull[:, None] * c,
        torch.einsum("bk,bd->bkd", push, c),
    )


def sgns_step(
    E: Float[Tensor, "V d"],
    O: Float[Tensor, "V d"],
    centres: Int[Tensor, "B"],
    contexts: Int[Tensor, "B"],
    negatives: Int[Tensor, "B k"],
    lr: float,
) -> float:
    """One step of gradient descent on a batch of pairs; returns the loss before the step.

    Centres have their vectors in the rows of ``E``, contexts and negatives in those of ``O``.
    Both are changed in place: each becomes itself − lr · (gradient of ``sgns_loss``), every
    gradient taken before anything has changed. A word that occurs several times in the batch
    gets the sum of its gradients. Returns a Python float.
    """
    c, o, neg = E[centres], O[contexts], O[negatives]
    dc, do, dneg = sgns_grads(c, o, neg)
    E.index_add_(0, centres, dc, alpha=-lr)
    O.index_add_(0, contexts, do, alpha=-lr)
    O.index_add_(0, negatives.flatten(), dneg.flatten(0, 1), alpha=-lr)
    return float(sgns_loss(c, o, neg))


def train_word2vec(
    corpus: list[Int[Tensor, "n"]],
    vocab: int,
    d: int = 16,
    w: int = 4,
    k: int = 5,
    epochs: int = 5,
    batch: int = 64,
    lr: float = 0.05,
    seed: int = 0,
) -> tuple[Float[Tensor, "V d"], Float[Tensor, "V d"], list[float]]:
    """Train word vectors on sentences of ids below ``vocab``.

    The pairs are the skip-gram pairs of each sentence by itself, with window ``w``. ``E``
    (vocab, d) starts uniform between −0.5/d and 0.5/d, ``O`` (vocab, d) at zero, both float32.
    Each epoch takes all pairs once, in a new random order, ``batch`` at a time; the last batch
    of an epoch may be smaller. A batch of m pairs makes one ``sgns_step`` with learning rate
    ``lr`` · m, so that a pair moves its vectors as far as it would alone. Its ``k`` negatives
    per pair are drawn anew from the noise distribution of the corpus's word counts.

    Returns (E, O, losses): ``losses`` has one float per step, the batch's loss before it. The
    same ``seed`` gives the same result, another one another.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.cat([skipgram_pairs(sentence, w) for sentence in corpus])
    p = noise_distribution(torch.bincount(torch.cat(corpus), minlength=vocab))
    E = (torch.rand(vocab, d, generator=generator) - 0.5) / d
    O = torch.zeros(vocab, d)
    losses = []
    for _ in range(epochs):
        for rows in torch.randperm(len(pairs), generator=generator).split(batch):
            centres, contexts = pairs[rows].T
            negatives = sample_negatives(p, len(rows), k, generator)
            losses.append(sgns_step(E, O, centres, contexts, negatives, lr * len(rows)))
    return E, O, losses


def analogy(
    E: Float[Tensor, "V d"], a: int, b: int, c: int, top: int = 5, exclude: bool = True
) -> tuple[Int[Tensor, "top"], Float[Tensor, "top"]]:
    """The ``top`` words nearest to a − b + c, as in king − man + woman.

    All rows of ``E`` are first scaled to length 1 (a row of zeros stays zeros); the target is
    E[a] − E[b] + E[c] of the scaled rows. Returns (ids, cosines), best first: the words with
    the largest cosine to the target. With ``exclude`` the words a, b and c themselves are left
    out. ``top`` is at most the number of words that are left. ``E`` is not changed.
    """
    U = torch.nn.functional.normalize(E, dim=1)
    target = U[a] - U[b] + U[c]
    cosines = U @ torch.nn.functional.normalize(target, dim=0)
    if exclude:
        cosines[[a, b, c]] = -math.inf
    best = cosines.topk(top)
    return best.indices, best.values


def analogy_accuracy(
    E: Float[Tensor, "V d"], questions: Int[Tensor, "q 4"]
) -> dict[str, float]:
    """How often the word nearest to a − b + c is d, for questions (a, b, c, d).

    Nearest as in ``analogy`` (rows scaled to length 1, largest cosine). Returns a dict with three
    Python floats, fractions of the q questions:

        "excluded"  the answer is d when a, b and c are left out
        "plain"     the answer is d when no word is left out
        "input"     the answer is a, b or c when no word is left out

    Fast enough for thousands of questions on ten thousand words: compute them in blocks, but
    not all at once, which would need gigabytes.
    """
    U = torch.nn.functional.normalize(E, dim=1)
    excluded = plain = given = 0
    for part in questions.split(256):
        inputs, answer = part[:, :3], part[:, 3]
        a, b, c = inputs.T
        scores = (U[a] - U[b] + U[c]) @ U.T
        first = scores.argmax(dim=1)
        plain += int((first == answer).sum())
        given += int((first[:, None] == inputs).any(dim=1).sum())
        scores.scatter_(1, inputs, -math.inf)
        excluded += int((scores.argmax(dim=1) == answer).sum())
    q = len(questions)
    return {"excluded": excluded / q, "plain": plain / q, "input": given / q}
