"""Checks of Day 8: what to observe of pairs, negatives, the loss, training and analogies."""

import torch
from torch.overrides import TorchFunctionMode

from ladder.checks import accuracy_at_least, at_most, check, close, exactly, say


class Watch(TorchFunctionMode):
    """Note which torch functions are called, as methods of a tensor too."""

    def __init__(self):
        super().__init__()
        self.used = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.used.add(getattr(function, "__name__", ""))
        return function(*args, **(kwargs or {}))


def calls(name, run):
    """Whether ``run()`` calls the torch function ``name``."""
    with Watch() as watch:
        run()
    return name in watch.used


def normal(rng, *shape):
    return torch.tensor(rng.normal(size=shape))


def whole(rng, high, *shape):
    return torch.tensor(rng.integers(high, size=shape))


def generator(seed):
    return torch.Generator().manual_seed(seed)

# --- pairs

@check()
def check_skipgram_pairs(skipgram_pairs, rng):
    """All pairs within the window, in order."""
    tokens = torch.tensor(rng.permutation(50)[:7])
    for w in (1, 2, 4):
        yield (say(f"7 different tokens, w = {w}", f"7 个不同的 token，w = {w}"),
               lambda: skipgram_pairs(tokens.clone(), w))
    yield (say("a token that stands twice in a window", "同一窗口中出现两次的 token"),
           lambda: skipgram_pairs(tokens[[0, 1, 0, 2, 1]], 2))
    yield (say("3 tokens, w = 5", "3 个 token，w = 5"), lambda: skipgram_pairs(tokens[:3], 5))
    yield (say("shape for 1 token", "1 个 token 时的形状"),
           lambda: list(skipgram_pairs(tokens[:1].clone(), 2).shape))
    yield say("dtype", "dtype"), lambda: str(skipgram_pairs(tokens.clone(), 2).dtype)


check_skipgram_pairs.mistake(
    say("The window is one short on the right: range leaves out its end.",
        "窗口右侧少了一个：range 不包含终点。"),
    within="skipgram_pairs", replace={"i + w + 1": "i + w"})
check_skipgram_pairs.mistake(
    say("Only the words to the right are used; the window has two sides.",
        "只用了右边的词；窗口有左右两侧。"),
    within="skipgram_pairs", replace={"max(0, i - w)": "i"})
check_skipgram_pairs.mistake(
    say("Positions tell a word from its context, not the words themselves: a word may well stand "
        "twice in one window.",
        "区分中心与上下文的是位置，而不是词本身：同一个词完全可能在一个窗口里出现两次。"),
    within="skipgram_pairs", replace={"if i != j": "if tokens[i] != tokens[j]"})
check_skipgram_pairs.mistake(
    say("The context stands first; the centre was asked for first.",
        "上下文放在了前面；题目要求中心在前。"),
    within="skipgram_pairs", replace={"[(i, j) for": "[(j, i) for"})


@check()
def check_cbow_pairs(cbow_pairs, rng):
    """One row of contexts for each position."""
    tokens = torch.tensor(rng.permutation(50)[:6] + 1)
    for w in (1, 2, 4):
        yield (say(f"contexts of 6 tokens, w = {w}", f"6 个 token 的上下文，w = {w}"),
               lambda: cbow_pairs(tokens.clone(), w)[0])
    yield say("centres", "中心词"), lambda: cbow_pairs(tokens.clone(), 2)[1]
    yield (say("a token that stands twice", "出现两次的 token"),
           lambda: list(cbow_pairs(tokens[[0, 1, 0, 2]], 2)))
    yield say("1 token, w = 2", "1 个 token，w = 2"), lambda: list(cbow_pairs(tokens[:1], 2))
    yield (say("dtypes", "dtype"),
           lambda: [str(part.dtype) for part in cbow_pairs(tokens.clone(), 2)])


check_cbow_pairs.mistake(
    say("The centre stands in its own context: then there is nothing to predict.",
        "中心词出现在自己的上下文里：那就没什么可预测的了。"),
    within="cbow_pairs", replace={"torch.arange(1, w + 1)": "torch.arange(0, w)"})
check_cbow_pairs.mistake(
    say("Outside of the sentence stands 0, which is a word; −1 was asked for.",
        "句子之外填了 0，而 0 也是一个词；题目要求填 −1。"),
    within="cbow_pairs", replace={"~inside, -1": "~inside, 0"})
check_cbow_pairs.mistake(
    say("The context runs from right to left.", "上下文的次序是从右到左。"),
    within="cbow_pairs", replace={"[:, None] + steps": "[:, None] - steps"})
check_cbow_pairs.mistake(
    say("Positions with an incomplete window are left out; each position has a row.",
        "窗口不完整的位置被丢掉了；每个位置都要有一行。"),
    within="cbow_pairs",
    replace={"~inside, -1), tokens.clone()":
             "~inside, -1)[inside.all(1)], tokens[inside.all(1)]"})

# --- negatives

@check()
def check_noise_distribution(noise_distribution, rng):
    """Counts to the power 3/4, normalised."""
    counts = torch.tensor([1, 10, 1000, 0, int(rng.integers(3, 9))])
    yield (say("counts such as 1, 10, 1000, 0, 7", "形如 1、10、1000、0、7 的计数"),
           lambda: noise_distribution(counts.clone()))
    yield say("sum", "总和"), lambda: float(noise_distribution(counts.clone()).sum())
    yield say("power 1", "幂为 1"), lambda: noise_distribution(counts.clone(), 1.0)
    yield (say("power 0: equal, but 0 for a word that never occurs",
               "幂为 0：人人相等，但从不出现的词为 0"),
           lambda: noise_distribution(counts.clone(), 0.0))
    big = whole(rng, 10**10, 9) + 1
    yield say("counts of billions", "以十亿计的计数"), lambda: noise_distribution(big.clone())


check_noise_distribution.mistake(
    say("These are the plain frequencies: the power is not used.", "这是原始频率：没有用到幂。"),
    within="noise_distribution", replace={"counts.double() ** power": "counts.double()"})
check_noise_distribution.mistake(
    say("The power is taken after dividing, so the result does not add up to 1.",
        "先除以总和再取幂，结果之和就不是 1。"),
    within="noise_distribution",
    replace={"weights / weights.sum()": "weights / counts.double().sum() ** power"})
check_noise_distribution.mistake(
    say("0 to the power 0 is 1: words that never occur are drawn.",
        "0 的 0 次幂等于 1：从不出现的词也会被抽到。"),
    within="noise_distribution",
    replace={"torch.where(counts > 0, counts.double() ** power, 0)": "counts.double() ** power"})


@check()
def check_sample_negatives(sample_negatives, rng):
    """Independent draws from p."""
    seed = int(rng.integers(10**6))
    p = torch.tensor([0.15, 0.5, 0.0, 0.3, 0.05])
    draw = lambda B, k: sample_negatives(p.clone(), B, k, generator(seed))  # noqa: E731
    loose = close(rtol=0, atol=0.025)
    yield (say("shape and dtype, B = 3, k = 7", "形状与 dtype，B = 3，k = 7"),
           lambda: [list(draw(3, 7).shape), str(draw(3, 7).dtype)])
    yield (say("frequencies in 8000 times 5 draws", "8000 × 5 次抽样中的频率"),
           lambda: torch.bincount(draw(8000, 5).flatten(), minlength=5) / 40000, loose)
    yield (say("how often two negatives of a pair agree", "同一对的两个负样本相同的比例"),
           lambda: (draw(8000, 2)[:, 0] == draw(8000, 2)[:, 1]).double().mean(), loose)
    yield (say("how often two pairs have the same first negative", "相邻两对的第一个负样本相同的比例"),
           lambda: (draw(8000, 2)[1:, 0] == draw(8000, 2)[:-1, 0]).double().mean(), loose)
    yield (say("the same seed gives the same draws", "同一种子给出同样的抽样"),
           lambda: bool((draw(20, 9) == draw(20, 9)).all()))

    def twice():
        g = generator(seed)
        first = sample_negatives(p.clone(), 20, 9, g)
        return bool((first != sample_negatives(p.clone(), 20, 9, g)).any())
    yield say("the next call gives new draws", "下一次调用给出新的抽样"), twice


DRAWS = "torch.multinomial(p, B * k, replacement=True, generator=generator)"
check_sample_negatives.mistake(
    say("All words are equally likely; p says how likely each is.",
        "所有词等可能；每个词的概率应由 p 决定。"),
    within="sample_negatives",
    replace={DRAWS: "torch.randint(len(p), (B * k,), generator=generator)"})
check_sample_negatives.mistake(
    say("Fine, but not from the generator: no run can be repeated.",
        "分布正确，但没有使用给定的生成器：实验无法重现。"),
    within="sample_negatives", replace={", generator=generator": ""})
check_sample_negatives.mistake(
    say("The generator is set back at each call, so each batch meets the same negatives.",
        "每次调用都把生成器拨回起点，于是每一批遇到的负样本都相同。"),
    within="sample_negatives",
    replace={"    return torch": "    generator = torch.Generator().manual_seed(0)\n    return torch"})
check_sample_negatives.mistake(
    say("All pairs share one set of negatives; each pair needs draws of its own.",
        "所有的对共用一组负样本；每一对都应当各自抽样。"),
    within="sample_negatives",
    replace={f"{DRAWS}.reshape(B, k)":
             "torch.multinomial(p, k, replacement=True, generator=generator).repeat(B, 1)"})

# --- the loss

@check()
def check_sgns_loss(sgns_loss, rng):
    """Equation 4, negated, averaged over pairs."""
    c, o, neg = normal(rng, 3, 5), normal(rng, 3, 5), normal(rng, 3, 4, 5)
    yield (say("one pair, one negative", "1 对，1 个负样本"),
           lambda: sgns_loss(c[:1].clone(), o[:1].clone(), neg[:1, :1].clone()))
    yield (say("one pair, 4 negatives", "1 对，4 个负样本"),
           lambda: sgns_loss(c[:1].clone(), o[:1].clone(), neg[:1].clone()))
    yield (say("3 pairs, 4 negatives, d = 5", "3 对，4 个负样本，d = 5"),
           lambda: sgns_loss(c.clone(), o.clone(), neg.clone()))
    yield (say("all vectors zero", "向量全为零"),
           lambda: sgns_loss(0 * c, 0 * o, 0 * neg))
    one = torch.ones(1, 1, dtype=torch.float64)
    yield (say("dot products of ±1000", "点积为 ±1000"),
           lambda: [sgns_loss(one, s * one, t * one[None])
                    for s, t in ((1000, -1000), (-1000, -1000), (1000, 1000))])
    leaf = c.clone().requires_grad_()
    yield (say("gradient with respect to c, by autograd", "由自动求导得到的对 c 的梯度"),
           lambda: torch.autograd.grad(sgns_loss(leaf, o.clone(), neg.clone()), leaf)[0])
    yield (say("torch.einsum is used", "使用了 torch.einsum"),
           lambda: calls("einsum", lambda: sgns_loss(c.clone(), o.clone(), neg.clone())))


check_sgns_loss.mistake(
    say("The negatives are pulled closer as well: mind the sign inside their σ.",
        "负样本也被拉近了：注意它们的 σ 里的符号。"),
    within="sgns_loss", replace={"softplus(negative)": "softplus(-negative)"})
check_sgns_loss.mistake(
    say("The negatives are averaged; equation 4 adds them up.", "负样本取了平均；公式 4 中是求和。"),
    within="sgns_loss", replace={"softplus(negative).sum(": "softplus(negative).mean("})
check_sgns_loss.mistake(
    say("The pairs are added up; the mean was asked for.", "对各对求了和；题目要求平均。"),
    within="sgns_loss", replace={").mean()": ").sum()"})
check_sgns_loss.mistake(
    say("Each centre meets the negatives of all pairs. Which letters must occur in both operands and "
        "in the result?",
        "每个中心词遇到了所有对的负样本。哪些字母应当同时出现在两个操作数和结果中？"),
    within="sgns_loss",
    replace={'torch.einsum("bd,bkd->bk", c, neg)': 'torch.einsum("bd,akd->bak", c, neg).flatten(1)'})


@check_sgns_loss.mistake(
    say("Right for small numbers; σ(−1000) underflows to 0, and log 0 is −∞. Put the log and σ "
        "together into one formula.",
        "数值小时正确；但 σ(−1000) 下溢为 0，log 0 是 −∞。请把 log 与 σ 合成一个公式。"),
)
def sgns_loss(c, o, neg):
    positive = torch.einsum("bd,bd->b", c, o)
    negative = torch.einsum("bd,bkd->bk", c, neg)
    return -(positive.sigmoid().log() + (-negative).sigmoid().log().sum(dim=1)).mean()


@check(forbids=("torch.autograd", "torch.func"))
def check_sgns_grads(sgns_grads, rng):
    """The three gradients, by hand."""
    c, o, neg = normal(rng, 3, 5), normal(rng, 3, 5), normal(rng, 3, 4, 5)
    got = lambda i, m=3: sgns_grads(c[:m].clone(), o[:m].clone(), neg[:m].clone())[i]  # noqa: E731
    for i, name in enumerate(("c", "o", "neg")):
        yield (say(f"gradient of {name}, one pair", f"{name} 的梯度，1 对"), lambda: got(i, 1))
    for i, name in enumerate(("c", "o", "neg")):
        yield (say(f"gradient of {name}, 3 pairs", f"{name} 的梯度，3 对"), lambda: got(i))
    yield (say("dot products near ±1000: all finite", "点积在 ±1000 附近：全部有限"),
           lambda: list(sgns_grads(c * 300, o.clone(), neg.clone())))
    yield (say("dtypes for float32", "输入为 float32 时的 dtype"),
           lambda: [str(g.dtype) for g in sgns_grads(c.float(), o.float(), neg.float())])
    kept = [c.clone(), o.clone(), neg.clone()]
    sgns_grads(*kept)
    yield say("the arguments are as they were", "参数保持原样"), kept
    yield (say("autograd is left alone", "没有使用自动求导"),
           lambda: not calls("backward", lambda: got(0)))


check_sgns_grads.mistake(
    say("The true context is pushed as well: the derivative of −log σ(x) is σ(x) − 1.",
        "真正的上下文也被推开了：−log σ(x) 的导数是 σ(x) − 1。"),
    within="sgns_grads", replace={"torch.einsum(\"bd,bd->b\", c, o)) - 1)":
                                  "torch.einsum(\"bd,bd->b\", c, o)))"})
check_sgns_grads.mistake(
    say("The loss is a mean over the pairs, and so are its gradients.",
        "损失是对各对取平均，梯度也一样。"),
    within="sgns_grads", replace={"B = len(c)": "B = 1"})
check_sgns_grads.mistake(
    say("The centre is in the terms of the negatives too: its gradient has k + 1 parts.",
        "中心词也出现在负样本的各项中：它的梯度有 k + 1 部分。"),
    within="sgns_grads", replace={' + torch.einsum("bk,bkd->bd", push, neg)': ""})
check_sgns_grads.mistake(
    say("Sign: a negative with a large dot product must be pushed away, so its gradient points along c.",
        "符号错误：点积大的负样本应当被推开，所以它的梯度沿着 c 的方向。"),
    within="sgns_grads", replace={'torch.einsum("bk,bd->bkd", push, c)':
                                  '-torch.einsum("bk,bd->bkd", push, c)'})

# --- training

@check(forbids=("torch.autograd", "torch.optim"))
def check_sgns_step(sgns_step, rng):
    """One step on two tables, with words that occur twice."""
    E, O = normal(rng, 9, 4), normal(rng, 9, 4)
    apart = [torch.tensor(rng.permutation(9)[:2]), torch.tensor([0, 1]), torch.tensor([[2, 3], [4, 5]])]
    often = [torch.tensor([1, 1, 2, 1]), torch.tensor([0, 3, 0, 0]),
             torch.tensor([[4, 4, 4], [0, 3, 5], [4, 1, 2], [6, 6, 1]])]

    def stepped(ids, lr):
        e, o = E.clone(), O.clone()
        return sgns_step(e, o, *[part.clone() for part in ids], lr), e, o
    yield say("loss before the step", "更新之前的损失"), lambda: stepped(apart, 0.5)[0]
    yield say("E, every word once", "E，每个词只出现一次"), lambda: stepped(apart, 0.5)[1]
    yield say("O, every word once", "O，每个词只出现一次"), lambda: stepped(apart, 0.5)[2]
    yield say("E, a centre three times", "E，某个中心词出现三次"), lambda: stepped(often, 0.5)[1]
    yield (say("O, words that are context and negative", "O，同时作上下文与负样本的词"),
           lambda: stepped(often, 0.5)[2])
    yield (say("loss after a step with lr = 0.01, in a second step", "lr = 0.01 更新一步之后的损失"),
           lambda: sgns_step(*stepped(often, 0.01)[1:], *[i.clone() for i in often], 0.01))
    yield say("the loss is a float", "损失是 float"), lambda: isinstance(stepped(apart, 0.1)[0], float)


check_sgns_step.mistake(
    say("A word that occurs several times keeps only one of its gradients: E[ids] −= ... writes, it "
        "does not add up. Which operation adds at repeated indices?",
        "多次出现的词只留下了一个梯度：E[ids] −= ... 是写入而不是累加。哪种操作会在重复下标处累加？"),
    within="sgns_step", replace={"E.index_add_(0, centres, dc, alpha=-lr)": "E[centres] -= lr * dc"})
check_sgns_step.mistake(
    say("The step goes uphill.", "这一步是沿梯度上升。"),
    within="sgns_step", replace={"dc, alpha=-lr": "dc, alpha=lr", "do, alpha=-lr": "do, alpha=lr",
                                 "dneg.flatten(0, 1), alpha=-lr": "dneg.flatten(0, 1), alpha=lr"})
check_sgns_step.mistake(
    say("O is moved by gradients that already see the new E; take all gradients first.",
        "更新 O 所用的梯度看到的已是新的 E；应先求出全部梯度。"),
    within="sgns_step",
    replace={"    O.index_add_(0, contexts": "    _, do, dneg = sgns_grads(E[centres], o, neg)\n"
             "    O.index_add_(0, contexts"})
check_sgns_step.mistake(
    say("Nothing is pushed away: the negatives are not moved.", "没有推开任何词：负样本没有移动。"),
    within="sgns_step",
    replace={"    O.index_add_(0, negatives.flatten(), dneg.flatten(0, 1), alpha=-lr)\n": ""})


@check(forbids=("torch.optim",))
def check_train_word2vec(train_word2vec, rng):
    """Its steps one by one, and what it has learned."""
    seed = int(rng.integers(10**6))
    few = [whole(rng, 8, n) for n in (5, 7, 2)]
    small = lambda **more: train_word2vec(few, 11, **{  # noqa: E731
        "d": 6, "w": 2, "k": 3, "epochs": 1, "batch": 4, "seed": seed} | more)
    yield (say("shapes and dtypes", "形状与 dtype"),
           lambda: [[list(t.shape), str(t.dtype)] for t in small()[:2]])
    yield (say("number of steps: 3 sentences, w = 2, batch = 4, 2 epochs",
               "步数：3 个句子，w = 2，batch = 4，2 轮"), lambda: len(small(epochs=2)[2]))
    yield say("first loss", "第一步的损失"), lambda: small()[2][0]
    start = lambda: train_word2vec(few, 300, d=20, epochs=1, lr=0.0, seed=seed)  # noqa: E731
    yield (say("with lr = 0: largest |E| · d, mean |E| · d, largest |O|",
               "lr = 0 时：|E| · d 的最大值、|E| · d 的均值、|O| 的最大值"),
           lambda: [20 * start()[0].abs().max(), 20 * start()[0].abs().mean(), start()[1].abs().max()],
           close(rtol=0.05))
    lone = lambda: train_word2vec(  # noqa: E731
        [torch.zeros(3, dtype=torch.int64)], 1, d=5, w=2, k=3, epochs=1, lr=0.05, seed=seed)
    yield (say("O / E after one step on one word alone", "只有一个词时，走一步之后的 O / E"),
           lambda: lone()[1] / lone()[0])
    yield (say("O of words that never occur", "从不出现的词的 O"), lambda: small(k=9)[1][8:])
    couples = list(torch.arange(600).reshape(300, 2))
    yield (say("share of words whose O is untouched after an epoch over 300 sentences of 2 words",
               "在 300 个两词句子上训练一轮之后，O 未被触及的词的比例"),
           lambda: (train_word2vec(couples, 600, d=4, k=1, epochs=1, seed=seed)[1] == 0)
           .all(dim=1).double().mean(), at_most(0.03))
    yield (say("the same seed gives the same vectors, another one others", "同一种子结果相同，换种子则不同"),
           lambda: [bool((small()[0] == small(seed=s)[0]).all()) for s in (seed, seed + 1)])
    topics = [whole(rng, 5, 8) + 5 * (i % 3) for i in range(40)]
    learn = lambda: train_word2vec(  # noqa: E731
        topics, 15, d=8, w=3, epochs=4, batch=24, lr=0.1, seed=seed)
    E, _, losses = learn()
    yield (say("mean loss of the last 60 steps", "最后 60 步的平均损失"),
           sum(losses[-60:]) / 60, close(rtol=0.08))
    U = torch.nn.functional.normalize(E, dim=1)
    yield (say("the nearest word is of the same topic", "最近的词属于同一话题"),
           (U @ U.T - 2 * torch.eye(15)).argmax(dim=1) // 5,
           accuracy_at_least([i // 5 for i in range(15)], 0.9))


check_train_word2vec.mistake(
    say("Windows reach across the ends of sentences.", "窗口越过了句子的边界。"),
    within="train_word2vec",
    replace={"torch.cat([skipgram_pairs(sentence, w) for sentence in corpus])":
             "skipgram_pairs(torch.cat(corpus), w)"})
check_train_word2vec.mistake(
    say("The last, smaller batch of an epoch is left out.", "丢掉了每一轮最后较小的那一批。"),
    within="train_word2vec",
    replace={".split(batch):": ".split(batch):\n            if len(rows) < batch:\n                continue"})
check_train_word2vec.mistake(
    say("Negatives come from all words equally, not from the noise distribution.",
        "负样本在所有词中均匀抽取，没有使用噪声分布。"),
    within="train_word2vec",
    replace={"noise_distribution(torch.bincount(torch.cat(corpus), minlength=vocab))":
             "torch.ones(vocab)"})
check_train_word2vec.mistake(
    say("The step is lr times the gradient of the mean; lr · m was asked for.",
        "步长用了 lr 乘平均损失的梯度；题目要求 lr · m。"),
    within="train_word2vec", replace={"lr * len(rows)": "lr"})
check_train_word2vec.mistake(
    say("E and O have changed places.", "E 与 O 调换了位置。"),
    within="train_word2vec", replace={"return E, O, losses": "return O, E, losses"})
check_train_word2vec.mistake(
    say("Pairs are drawn at random with repeats, so an epoch misses some.",
        "词对是有放回地随机抽取的，一轮中会漏掉一些。"),
    within="train_word2vec",
    replace={"torch.randperm(len(pairs), generator=generator)":
             "torch.randint(len(pairs), (len(pairs),), generator=generator)"})
check_train_word2vec.mistake(
    say("E does not start between −0.5/d and 0.5/d.", "E 的初值不在 −0.5/d 与 0.5/d 之间。"),
    within="train_word2vec", replace={"(torch.rand(vocab, d, generator=generator) - 0.5)":
                                      "torch.randn(vocab, d, generator=generator)"})

# --- analogies

def people(rng):
    """16 words (rank, gender and two more traits) of different lengths, and all questions."""
    traits = rng.normal(size=(4, 6))
    bits = torch.tensor([[(word >> bit) & 1 for bit in range(4)] for word in range(16)])
    E = (torch.tensor(rng.normal(size=6)) + bits.double() @ torch.tensor(traits)
         + 0.3 * normal(rng, 16, 6)) * torch.tensor(rng.uniform(0.3, 3, size=(16, 1)))
    questions = [(a, a ^ x, a ^ y, a ^ x ^ y) for a in range(16) for x in range(1, 16)
                 for y in range(1, 16) if x != y]
    # a − b + c: b and c differ by the other change.
    return E, torch.tensor([(a, d, c, b) for a, b, c, d in questions])[rng.permutation(3360)[:701]]


@check()
def check_analogy(analogy, rng):
    """Nearest to a − b + c, with and without the inputs."""
    E = normal(rng, 12, 5) * torch.tensor(rng.uniform(0.2, 4, size=(12, 1)))
    a, b, c = rng.permutation(12)[:3].tolist()
    yield (say("ids of the best 5", "最好的 5 个词的编号"),
           lambda: analogy(E.clone(), a, b, c)[0], exactly())
    yield say("their cosines", "它们的余弦"), lambda: analogy(E.clone(), a, b, c)[1]
    yield (say("ids of all 12, nothing excluded", "不排除任何词，全部 12 个的编号"),
           lambda: analogy(E.clone(), a, b, c, top=12, exclude=False)[0], exactly())
    yield (say("their cosines, nothing excluded", "不排除任何词时的余弦"),
           lambda: analogy(E.clone(), a, b, c, top=12, exclude=False)[1])
    yield (say("all 9 that are left", "剩下的全部 9 个"),
           lambda: list(analogy(E.clone(), a, b, c, top=9)))
    yield say("a − a + c", "a − a + c"), lambda: list(analogy(E.clone(), a, a, c, 1, False))
    gap = E.clone()
    gap[(set(range(12)) - {a, b, c}).pop()] = 0
    yield (say("cosines where one row is zeros", "有一行全为零时的余弦"),
           lambda: analogy(gap.clone(), a, b, c, 9)[1])
    kept = E.clone()
    analogy(kept, a, b, c)
    yield say("E is as it was", "E 保持原样"), kept


ROWS = "U = torch.nn.functional.normalize(E, dim=1)"
check_analogy.mistake(
    say("The rows are not scaled to length 1 first, so long vectors rule the sum.",
        "没有先把各行缩放到长度 1，于是长的向量主导了求和。"),
    within="analogy", replace={"target = U[a] - U[b] + U[c]": "target = E[a] - E[b] + E[c]"})
check_analogy.mistake(
    say("Signs: b is taken away, c is added.", "符号错误：应当减去 b，加上 c。"),
    within="analogy", replace={"U[a] - U[b] + U[c]": "U[a] + U[b] - U[c]"})
check_analogy.mistake(
    say("The inputs are left out always, also where that was not asked for.",
        "总是排除了输入的词，即使没有要求这样做。"),
    within="analogy", replace={"    if exclude:\n        cosines": "    cosines"})
check_analogy.mistake(
    say("The order is right, but these are dot products: the target has no length 1.",
        "次序正确，但这些是点积：目标向量的长度不是 1。"),
    within="analogy", replace={"torch.nn.functional.normalize(target, dim=0)": "target"})
check_analogy.mistake(
    say("A row of zeros gives 0 / 0.", "全零的行给出 0 / 0。"),
    within="analogy", replace={ROWS: "U = E / E.norm(dim=1, keepdim=True)"})


@check()
def check_analogy_accuracy(analogy_accuracy, rng):
    """Three fractions over several hundred questions."""
    E, questions = people(rng)
    for name in ("excluded", "plain", "input"):
        yield (say(f"{name}, 701 questions", f"{name}，701 个问题"),
               lambda: analogy_accuracy(E.clone(), questions.clone())[name])
    yield (say("one question at a time", "一次一个问题"),
           lambda: [analogy_accuracy(E.clone(), one[None]) for one in questions[:40].clone()])
    yield (say("all are floats", "都是 float"), lambda: [
        isinstance(x, float) for x in analogy_accuracy(E.clone(), questions[:3].clone()).values()])


check_analogy_accuracy.mistake(
    say("Only a is left out of the answers.", "只把 a 排除在答案之外。"),
    within="analogy_accuracy", replace={"scatter_(1, inputs": "scatter_(1, inputs[:, :1]"})
check_analogy_accuracy.mistake(
    say("\"plain\" is the same as \"excluded\": has anything been left out too early?",
        "\"plain\" 与 \"excluded\" 相同：是不是太早排除了输入的词？"),
    within="analogy_accuracy",
    replace={"        first = scores": "        scores.scatter_(1, inputs, -math.inf)\n"
             "        first = scores"})
check_analogy_accuracy.mistake(
    say("The rows are not scaled to length 1, so long words win.", "各行没有缩放到长度 1，于是长的向量占优。"),
    within="analogy_accuracy", replace={ROWS: "U = E"})
check_analogy_accuracy.mistake(
    say("\"input\" counts any of the three inputs, not only the first.",
        "\"input\" 应当统计三个输入中的任意一个，而不只是第一个。"),
    within="analogy_accuracy", replace={"first[:, None] == inputs)": "first[:, None] == inputs[:, :1])"})

EQUIVALENT: dict[str, str] = {
    "train_word2vec: torch.bincount(torch.cat(corpus), minlength=vocab) -> "
    "torch.bincount(torch.cat(corpus))": "ids at the end that never occur are never drawn either way",
    "train_word2vec: E = (torch.rand(vocab, d, generator=generator) - 0.5) / d -> "
    "E = -((torch.rand(vocab, d, generator=generator) - 0.5) / d)": "the distribution is symmetric",
    "train_word2vec: torch.rand(vocab, d, generator=generator) - 0.5 -> "
    "0.5 - torch.rand(vocab, d, generator=generator)": "the distribution is symmetric",
    "analogy: torch.nn.functional.normalize(E, dim=1) -> torch.nn.functional.normalize(E)":
        "1 is the default",
    "analogy_accuracy: torch.nn.functional.normalize(E, dim=1) -> torch.nn.functional.normalize(E)":
        "1 is the default",
    "analogy_accuracy: questions.split(256) -> questions.split(257)": "the size of a block is free",
}
