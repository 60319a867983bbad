# %% [markdown] lang="en"
r"""
# Day 8 · Word2Vec and embeddings

A network multiplies numbers, and words are not numbers. The answer that all of language modelling still uses was made popular in 2013: give each word a **vector**, and learn the vectors by predicting which words stand near which.
Today you build that, gradients included, and then look closely at its most famous result.

At the end of the day you can

- turn a sentence into training pairs for skip-gram and for CBOW;
- say why a softmax over the whole vocabulary is replaced by a few **negative samples**, and what is lost;
- write the loss with `torch.einsum`, derive its gradients, and train word vectors with nothing but those;
- answer "is king − man + woman really queen?" with figures, not with a legend.

**Read first** (45 minutes): Tomas Mikolov and others, *Distributed Representations of Words and Phrases and their Compositionality*, [arXiv 1310.4546](https://arxiv.org/abs/1310.4546), sections 1 to 2.2.
Plan three hours for the rest. Lectures 1 and 2 of Stanford's [CS224n](https://web.stanford.edu/class/cs224n/) cover the same ground.
"""

# %% [markdown] lang="zh"
r"""
# 第 8 天 · Word2Vec 与词嵌入

网络做的是数的乘法，而词不是数。整个语言建模至今仍在用的办法，流行于 2013 年：给每个词一个**向量**，并通过预测哪些词出现在哪些词附近来学习这些向量。
今天你来亲手实现它，包括梯度，然后仔细审视它最著名的那个结果。

学完这一天，你能够

- 把句子变成 skip-gram 与 CBOW 的训练样本；
- 说清为什么要用少量**负样本**代替整个词表上的 softmax，又失去了什么；
- 用 `torch.einsum` 写出损失，推导它的梯度，只靠这些梯度训练词向量；
- 用数字而不是传说来回答“king − man + woman 真的等于 queen 吗？”

**先读论文**（约 45 分钟）：Tomas Mikolov 等，*Distributed Representations of Words and Phrases and their Compositionality*，[arXiv 1310.4546](https://arxiv.org/abs/1310.4546)，第 1 节到 2.2 节。
其余内容约需三小时。斯坦福 [CS224n](https://web.stanford.edu/class/cs224n/) 的第 1、2 讲讲的是同样的内容。
"""

# %% setup
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ladder.data import load

# %% [markdown] lang="en"
r"""
## 1 · A word and its neighbours

The idea is older than the networks: words that occur in the same surroundings mean similar things. "Surroundings" is made precise by a **window**: the context of position $i$ is every other position within distance $w$. Two tasks can be made of it
([arXiv 1301.3781](https://arxiv.org/abs/1301.3781), section 3):

- **skip-gram** predicts each context word from the centre word: one pair for each neighbour;
- **CBOW** (continuous bag of words) predicts the centre from the average of its whole context: one example for each position.

Skip-gram makes more examples of a text, so rare words get more updates of their own; CBOW averages them away, and trained about three times faster in that paper (section 4.3). You write both kinds of examples, and go on with skip-gram. Words are numbered from here on; a sentence is a tensor of ids.

The text of the day is made by a small grammar, `royal_corpus`, whose truth we know: there are eight people, and each is one choice of rank, gender and age. Other words depend on one of the three: a throne tells the rank, "her" the gender, "plays" the age.
"""

# %% [markdown] lang="zh"
r"""
## 1 · 一个词与它的邻居

这个想法比神经网络更早：出现在相同环境中的词，意思相近。“环境”由**窗口**来精确定义：位置 $i$ 的上下文，是与它距离不超过 $w$ 的所有其他位置。由此可以构造两种任务
（[arXiv 1301.3781](https://arxiv.org/abs/1301.3781)，第 3 节）：

- **skip-gram** 由中心词预测每个上下文词：每个邻居对应一对样本；
- **CBOW**（连续词袋）由整个上下文的平均来预测中心词：每个位置对应一个样本。

同样的文本，skip-gram 产生的样本更多，罕见词能得到更多属于自己的更新；CBOW 会把它们平均掉，但在该论文中训练快约三倍（4.3 节）。两种样本你都来写，之后沿着 skip-gram 继续。从这里起词都编了号，一个句子就是一个 id 张量。

今天的文本由一个小文法 `royal_corpus` 生成，它的真相我们完全知道：共有八个人物，每个人物都是地位、性别、年龄的一种组合。其他的词只取决于三者之一：throne 透露地位，her 透露性别，plays 透露年龄。
"""

# %% exercise="pairs"
from ladder.solutions.stage1_foundation.day08_word2vec import (
    cbow_pairs,
    royal_corpus,
    skipgram_pairs,
)

# %% [markdown] lang="zh" docstring="skipgram_pairs"
r"""
一个句子的所有 (中心词, 上下文词) 对。

位置 i 的上下文是满足 |i − j| <= ``w`` 的其他所有位置 j，以句子的边界为限；一对存放的是这两个位置上的 token。
各行先按 i、再按 j 排序。结果是形状为 (p, 2) 的 int64 张量；没有任何对时形状也是 (0, 2)。``w`` 至少为 1。
"""

# %% [markdown] lang="zh" docstring="cbow_pairs"
r"""
同样的窗口，用于 CBOW：一次取整个上下文来预测中心词。

返回 (contexts, centres)，均为 int64。``contexts`` 的第 i 行依次存放位置
i − w, ..., i − 1, i + 1, ..., i + w 上的 token，超出句子的位置填 −1；``centres[i]`` 是位置 i 上的 token。
每个位置都有一行。
"""

# %% [markdown] hint="pairs" lang="en"
r"""
Draw a sentence of five words and mark the window of the first and of the last position. Work with positions, and look up the tokens only at the end: a word may stand twice in one window.
"""

# %% [markdown] hint="pairs" lang="zh"
r"""
画一个五个词的句子，标出第一个和最后一个位置的窗口。先用位置来计算，最后才取出 token：同一个词可能在一个窗口里出现两次。
"""

# %% [markdown] hint="pairs" lang="en"
r"""
For skip-gram two loops do: j runs from max(0, i − w) up to and including min(n − 1, i + w). For CBOW, a column of positions plus a row of offsets (without 0) gives all positions at once; clamp them before you index, and overwrite what was outside.
An empty list becomes (0, 2) by reshape(-1, 2).
"""

# %% [markdown] hint="pairs" lang="zh"
r"""
skip-gram 用两层循环就行：j 从 max(0, i − w) 到 min(n − 1, i + w)，两端都包含。CBOW 可以用一列位置加一行偏移（不含 0）一次得到所有位置；索引之前先截断到合法范围，再把超出边界的地方改写掉。
空列表用 reshape(-1, 2) 变成 (0, 2)。
"""

# %%
from ladder.graders.stage1_foundation.day08_word2vec import check_skipgram_pairs

check_skipgram_pairs(skipgram_pairs)

# %%
from ladder.graders.stage1_foundation.day08_word2vec import check_cbow_pairs

check_cbow_pairs(cbow_pairs)

# %%
corpus, words = royal_corpus(1500, seed=0)
number = {word: i for i, word in enumerate(words)}


def text(ids):
    return " ".join(words[i] if i >= 0 else "–" for i in ids.tolist())


print(f"{len(corpus)} sentences, {sum(map(len, corpus))} tokens, {len(words)} words")
for sentence in corpus[:4]:
    print("   ", text(sentence))
print("skip-gram, w = 2:", ", ".join(text(pair) for pair in skipgram_pairs(corpus[0], 2)[:7]), "...")
for context, centre in list(zip(*cbow_pairs(corpus[0], 2), strict=True))[:3]:
    print(f"CBOW, w = 2: ({text(context)}) predicts {words[centre]}")

# %% [markdown] lang="en"
r"""
## 2 · Negatives instead of a softmax

Each word $i$ gets **two** vectors: $v_i$ for its role as centre (row $i$ of a matrix $E$) and $u_i$ for its role as context (row $i$ of $O$). The natural model is a softmax over all $V$ words (equation 2 of [the paper](https://arxiv.org/abs/1310.4546)):

$$p(o\mid c) = \frac{\exp(u_o\cdot v_c)}{\sum_{i=1}^{V}\exp(u_i\cdot v_c)}$$

Its gradient touches all $V$ rows of $O$ for every single pair, with $V$ in the hundreds of thousands. **Negative sampling** asks an easier question. Here is the true context of $c$, and here are $k$ words drawn at random: which is which? That is $k+1$ yes-or-no decisions, and only $k+1$ rows of $O$ move. What is lost: the model no longer gives probabilities of words. For vectors nobody minds.

Where do the $k$ words come from? With $n_i$ the count of word $i$, section 2.2 of the paper found that the power $3/4$ works best:

$$P_n(i) = \frac{n_i^{3/4}}{\sum_j n_j^{3/4}}$$

It lies between the frequencies as they are (power 1: the negatives are nearly all "the" and "of") and all words alike (power 0: too easy).
"""

# %% [markdown] lang="zh"
r"""
## 2 · 用负样本代替 softmax

每个词 $i$ 有**两个**向量：作为中心词时的 $v_i$（矩阵 $E$ 的第 $i$ 行）和作为上下文时的 $u_i$（$O$ 的第 $i$ 行）。最自然的模型是在全部 $V$ 个词上做 softmax（[论文](https://arxiv.org/abs/1310.4546)的公式 2）：

$$p(o\mid c) = \frac{\exp(u_o\cdot v_c)}{\sum_{i=1}^{V}\exp(u_i\cdot v_c)}$$

它的梯度对每一对样本都要改动 $O$ 的全部 $V$ 行，而 $V$ 可达数十万。**负采样**（negative sampling）问的是一个更容易的问题：这里有 $c$ 真正的上下文，还有随机抽取的 $k$ 个词，哪个是真的？这就是 $k+1$ 个是非判断，只有 $O$ 的 $k+1$ 行会移动。失去的是：模型不再给出词的概率。如果只要向量，没人在意这一点。

那 $k$ 个词从哪里来？记 $n_i$ 为词 $i$ 的计数，论文 2.2 节发现 $3/4$ 次幂效果最好：

$$P_n(i) = \frac{n_i^{3/4}}{\sum_j n_j^{3/4}}$$

它介于原始频率（幂为 1：负样本几乎全是 the、of）与人人相等（幂为 0：太容易）之间。
"""

# %% exercise="negatives"
from ladder.solutions.stage1_foundation.day08_word2vec import noise_distribution, sample_negatives

# %% [markdown] lang="zh" docstring="noise_distribution"
r"""
抽取负样本所用的分布（arXiv 1310.4546，2.2 节）。

P(i) 与 ``counts[i]`` 的给定次幂成正比，总和为 1。从不出现的词概率为 0，幂为 0 时也一样。
"""

# %% [markdown] lang="zh" docstring="sample_negatives"
r"""
为 ``B`` 对样本各抽 ``k`` 个负样本：int64 的 id，按 ``p`` 独立抽取。

因此同一个 id 可以在结果的一行里出现多次，也可能碰巧就是该对的真正上下文。
全部随机性来自 ``generator``，它的状态会向前推进：用它再次调用会得到新的抽样。
"""

# %% [markdown] hint="negatives" lang="en"
r"""
First the power, then divide by the sum of the powers. What is 0 to the power 0? For the draws: each of the B · k ids is drawn on its own, and the same id may come again.
"""

# %% [markdown] hint="negatives" lang="zh"
r"""
先取幂，再除以各个幂之和。0 的 0 次幂是多少？至于抽样：B · k 个 id 各自独立抽取，同一个 id 可以重复出现。
"""

# %% [markdown] hint="negatives" lang="en"
r"""
torch.multinomial draws from a vector of probabilities; look at its arguments num_samples, replacement and generator, draw B · k at once and give the result its shape.
"""

# %% [markdown] hint="negatives" lang="zh"
r"""
torch.multinomial 能按概率向量抽样；看看它的参数 num_samples、replacement 与 generator，一次抽 B · k 个，再整理成所要的形状。
"""

# %%
from ladder.graders.stage1_foundation.day08_word2vec import check_noise_distribution

check_noise_distribution(noise_distribution)

# %%
from ladder.graders.stage1_foundation.day08_word2vec import check_sample_negatives

check_sample_negatives(sample_negatives)

# %%
counts = torch.bincount(torch.cat(corpus), minlength=len(words))
order = counts.argsort(descending=True)
fig, ax = plt.subplots(figsize=(10, 3.2), layout="constrained")
for power, style in ((1.0, "o"), (0.75, "s"), (0.0, ".")):
    ax.plot(noise_distribution(counts, power)[order], style + "-", ms=4, label=f"power {power:g}")
ax.set_xticks(range(len(words)), [words[i] for i in order], rotation=70, fontsize=8)
ax.set(ylabel="probability of being a negative")
ax.legend()
plt.show()

# %% [markdown] lang="en"
r"""
## 3 · The loss, in two einsums

A yes-or-no decision is logistic regression: with $\sigma(x)=1/(1+e^{-x})$, the probability of "true context" is $\sigma(u\cdot v_c)$. For a batch of $B$ pairs, with negatives $n_{b1},\dots,n_{bk}$, the loss to be made small is equation 4 of the paper with its sign turned:

$$L = \frac1B\sum_{b=1}^{B}\Big[-\log\sigma(c_b\cdot o_b) - \sum_{j=1}^{k}\log\sigma(-c_b\cdot n_{bj})\Big]$$

The tensors are `c` (B, d), `o` (B, d) and `neg` (B, k, d). In an einsum you write down which indices the operands have and which the result keeps; an index that is missing on the right is summed over. "For each b, multiply along d and add up" becomes `"bd,bd->b"`. The second product is yours.

Two numbers to expect: if all vectors are zero, each decision costs $\log2$, so $L=(k+1)\log 2$. And $-\log\sigma(x)=\log(1+e^{-x})$, which for large $-x$ is just $-x$: the loss must not overflow there.
"""

# %% [markdown] lang="zh"
r"""
## 3 · 用两个 einsum 写出损失

是非判断就是逻辑回归：记 $\sigma(x)=1/(1+e^{-x})$，则“是真正的上下文”的概率为 $\sigma(u\cdot v_c)$。对一批 $B$ 对样本，负样本为 $n_{b1},\dots,n_{bk}$，要最小化的损失就是论文公式 4 取负：

$$L = \frac1B\sum_{b=1}^{B}\Big[-\log\sigma(c_b\cdot o_b) - \sum_{j=1}^{k}\log\sigma(-c_b\cdot n_{bj})\Big]$$

张量为 `c` (B, d)、`o` (B, d) 与 `neg` (B, k, d)。einsum 的写法是：写明各操作数有哪些下标，结果保留哪些；右边没有的下标就被求和。“对每个 b，沿 d 相乘再相加”写作 `"bd,bd->b"`。第二个乘积留给你。

有两个数值可以预期：若向量全为零，每个判断的代价是 $\log2$，所以 $L=(k+1)\log 2$。另外 $-\log\sigma(x)=\log(1+e^{-x})$，当 $-x$ 很大时它就约等于 $-x$：损失在那里不得溢出。
"""

# %% exercise="sgns_loss"
from ladder.solutions.stage1_foundation.day08_word2vec import sgns_loss

# %% [markdown] lang="zh" docstring="sgns_loss"
r"""
负采样 skip-gram 的损失，即 arXiv 1310.4546 公式 4 取负：

    L = 1/B Σ_b [ −log σ(c_b · o_b) − Σ_j log σ(−c_b · n_bj) ]

其中 c_b 是第 b 对的中心词向量，o_b 是真正的上下文的向量，n_bj 是 k 个负样本的向量。
对 B 对取平均，对负样本求和。点积为 ±1000 时也必须有限。所有点积都用 ``torch.einsum`` 来写。
"""

# %% [markdown] hint="sgns_loss" lang="en"
r"""
Write the three letters beside the shapes: c is bd, neg is bkd, and the scores of the negatives are bk. Which letter is summed over? Only the sign differs between the true context and a negative.
"""

# %% [markdown] hint="sgns_loss" lang="zh"
r"""
在形状旁边写出字母：c 是 bd，neg 是 bkd，负样本的分数是 bk。对哪个字母求和？真正的上下文与负样本之间只差一个符号。
"""

# %% [markdown] hint="sgns_loss" lang="en"
r"""
torch.nn.functional has logsigmoid and softplus, each safe for large numbers. Sum over k first, then take the mean over b.
"""

# %% [markdown] hint="sgns_loss" lang="zh"
r"""
torch.nn.functional 里有 logsigmoid 与 softplus，数值很大时也都安全。先对 k 求和，再对 b 取平均。
"""

# %%
from ladder.graders.stage1_foundation.day08_word2vec import check_sgns_loss

check_sgns_loss(sgns_loss)

# %% [markdown] lang="en"
r"""
## 4 · What moves, and where to

Autograd could take over here. But these gradients are short, and tell what training does. One fact is enough:

$$\frac{d}{dx}\big[-\log\sigma(x)\big] = \sigma(x) - 1$$

The bracket is how wrong the model is: near 0 when it is sure of a true pair, near −1 when it is sure and wrong. Derive the three gradients of $L$ on paper. The centre appears in all $k+1$ terms, so its gradient has $k+1$ parts; the true context and each negative have one part each. Then look at the signs: in a step downhill, who is pulled towards whom, and who is pushed away?
"""

# %% [markdown] lang="zh"
r"""
## 4 · 谁在移动，移向哪里

这里本可以交给自动求导。但这些梯度很短，而且说明了训练究竟在做什么。一条事实就够了：

$$\frac{d}{dx}\big[-\log\sigma(x)\big] = \sigma(x) - 1$$

右边就是模型错得多厉害：对真实的一对很有把握时接近 0，很有把握却判错时接近 −1。请在纸上推导 $L$ 的三个梯度。中心词出现在全部 $k+1$ 项中，所以它的梯度有 $k+1$ 部分；真正的上下文与每个负样本各只有一部分。再看符号：沿下降方向走一步时，谁被拉向谁，谁又被推开？
"""

# %% exercise="sgns_grads"
from ladder.solutions.stage1_foundation.day08_word2vec import sgns_grads

# %% [markdown] lang="zh" docstring="sgns_grads"
r"""
``sgns_loss(c, o, neg)`` 对 c、o、neg 的梯度，手工推导。

不用自动求导：请自己推导。各梯度的形状与 dtype 同相应的参数；参数不得被改动。
"""

# %% [markdown] hint="sgns_grads" lang="en"
r"""
First compute one number for each dot product: the derivative of the loss with respect to it, shapes (B,) and (B, k), the 1/B included. Then the chain rule: the derivative of a dot product with respect to one vector is the other vector.
"""

# %% [markdown] hint="sgns_grads" lang="zh"
r"""
先为每个点积算出一个数：损失对它的导数，形状为 (B,) 与 (B, k)，其中已含 1/B。再用链式法则：点积对其中一个向量的导数是另一个向量。
"""

# %% [markdown] hint="sgns_grads" lang="en"
r"""
For a negative the derivative with respect to its dot product x is σ(x): positive, so a step downhill makes x smaller. The sum over the negatives in the centre's gradient is the einsum "bk,bkd->bd"; the gradient of neg is an outer product, "bk,bd->bkd".
"""

# %% [markdown] hint="sgns_grads" lang="zh"
r"""
负样本的损失对其点积 x 的导数是 σ(x)：为正，所以下降一步会使 x 变小。中心词梯度中对负样本的求和是 einsum "bk,bkd->bd"；neg 的梯度是外积 "bk,bd->bkd"。
"""

# %%
from ladder.graders.stage1_foundation.day08_word2vec import check_sgns_grads

check_sgns_grads(sgns_grads)

# %% [markdown] lang="en"
r"""
## 5 · Training

Now let the vectors move. There is one trap, and it is silent. In a batch, "the" may be the centre of ten pairs. Its row must get the **sum** of ten gradients. But `E[centres] -= lr * dc` reads the rows, subtracts, and writes them back one over the other: nine of the ten are lost, no error is raised, and the loss still falls. Look for an operation that adds at repeated indices.

The mean over $B$ pairs divides each gradient by $B$, though different pairs mostly move different rows. The original program made one step for each pair; to move as far, `train_word2vec` takes the learning rate times the number of pairs in the batch.
"""

# %% [markdown] lang="zh"
r"""
## 5 · 训练

现在让向量动起来。这里有一个陷阱，而且不声不响。在一批样本里，the 可能是十对的中心词，它那一行必须得到十个梯度之**和**。但 `E[centres] -= lr * dc` 是先读出这些行，减去，再一个盖一个地写回：十个丢了九个，不报任何错误，损失还照样下降。请找一个在重复下标处会累加的操作。

对 $B$ 对取平均时，每个梯度都除以了 $B$，而不同的对移动的多半是不同的行。原始程序是每一对走一步；为了走得一样远，`train_word2vec` 用学习率乘以该批的对数。
"""

# %% exercise="training"
from ladder.solutions.stage1_foundation.day08_word2vec import sgns_step, train_word2vec

# %% [markdown] lang="zh" docstring="sgns_step"
r"""
在一批样本上做一步梯度下降；返回更新之前的损失。

中心词的向量在 ``E`` 的各行，上下文与负样本的向量在 ``O`` 的各行。二者都原地修改：各自变成自身 − lr ·（``sgns_loss`` 的梯度），
所有梯度都在任何改动之前求出。在一批中多次出现的词，得到其各个梯度之和。返回 Python float。
"""

# %% [markdown] lang="zh" docstring="train_word2vec"
r"""
在由 id（小于 ``vocab``）组成的句子上训练词向量。

样本对是每个句子各自的 skip-gram 对，窗口为 ``w``。``E`` (vocab, d) 的初值在 −0.5/d 与 0.5/d 之间均匀分布，
``O`` (vocab, d) 初值为零，均为 float32。每一轮以新的随机次序把所有对各取一次，每批 ``batch`` 对；一轮的最后一批可以较小。
一批 m 对做一次 ``sgns_step``，学习率为 ``lr`` · m，使每一对移动向量的距离与它单独更新时相同。
每对的 ``k`` 个负样本每次都按语料词频的噪声分布重新抽取。

返回 (E, O, losses)：``losses`` 每步一个 float，即该批更新之前的损失。同一个 ``seed`` 给出同样的结果，不同的给出不同的结果。
"""

# %% [markdown] hint="training" lang="en"
r"""
sgns_step: gather the three sets of rows, take the three gradients, and only then write. index_add_ adds at repeated indices, and O gets two contributions. train_word2vec: use your functions of parts 1 and 2 once before the loop, and one generator for all randomness.
"""

# %% [markdown] hint="training" lang="zh"
r"""
sgns_step：取出三组行，求出三个梯度，然后才写入。index_add_ 在重复下标处会累加，而 O 会收到两份贡献。train_word2vec：循环之前先各用一次第 1、2 部分的函数，所有随机性用同一个生成器。
"""

# %% [markdown] hint="training" lang="en"
r"""
negatives is (B, k): flatten it, and flatten the first two dimensions of its gradient alike. torch.bincount with minlength counts the words, torch.randperm(n, generator=...).split(batch) gives the batches of an epoch, the smaller last one included.
"""

# %% [markdown] hint="training" lang="zh"
r"""
negatives 是 (B, k)：把它展平，它的梯度的前两维也同样展平。torch.bincount 配合 minlength 统计词频，torch.randperm(n, generator=...).split(batch) 给出一轮的各批，包括最后较小的一批。
"""

# %%
from ladder.graders.stage1_foundation.day08_word2vec import check_sgns_step

check_sgns_step(sgns_step)

# %%
from ladder.graders.stage1_foundation.day08_word2vec import check_train_word2vec

check_train_word2vec(train_word2vec)

# %% [markdown] lang="en"
r"""
Train on the grammar's sentences (2 to 3 seconds), and look at three things. *Left*: the loss, from $(k+1)\log2$ at the start. *Middle*: the eight people, drawn as one draws a cube, along the mean steps of gender, age and rank; lines join people who differ in one trait. (Any vectors could be projected so: what counts is that lines of one colour are parallel and alike in length.) *Right*: what the vectors have learned,
in one formula. Levy and Goldberg ([2014](https://papers.nips.cc/paper/5477-neural-word-embedding-as-implicit-matrix-factorization)) showed that with enough dimensions, the best dot product of a pair is

$$v_c\cdot u_o = \log\frac{P(o\mid c)}{P_n(o)} - \log k$$

where $P(o\mid c)$ is counted in the text. Word2vec factors a table of co-occurrences, without ever writing it down. The points scatter around the line: 16 dimensions for 37 words, and noisy steps to the end.
"""

# %% [markdown] lang="zh"
r"""
在文法生成的句子上训练（2 到 3 秒），然后看三样东西。*左*：损失，从 $(k+1)\log2$ 开始。*中*：八个人物，像画立方体那样，沿性别、年龄、地位的平均步子画出；连线连接只差一个特征的人物。（任何向量都能这样投影：要看的是同色的线是否平行、长度是否相近。）*右*：用一个公式概括向量学到了什么。
Levy 与 Goldberg（[2014](https://papers.nips.cc/paper/5477-neural-word-embedding-as-implicit-matrix-factorization)）证明，只要维数足够，一对词的最优点积是

$$v_c\cdot u_o = \log\frac{P(o\mid c)}{P_n(o)} - \log k$$

其中 $P(o\mid c)$ 由文本计数得到。Word2vec 分解的是一张共现表，却从未把它写出来。各点散布在直线周围：37 个词只有 16 维，而且每一步直到最后都带着噪声。
"""

# %%
k = 5
E, O, losses = train_word2vec(corpus, len(words), d=16, w=8, k=k, epochs=5, batch=128, seed=0)

pairs = torch.cat([skipgram_pairs(sentence, 8) for sentence in corpus])
together = torch.zeros(len(words), len(words)).index_put_(tuple(pairs.T), torch.tensor(1.0), accumulate=True)
best = torch.log(together / together.sum(dim=1, keepdim=True) / noise_distribution(counts)) - math.log(k)
seen = together >= 20

fig, (left, middle, right) = plt.subplots(1, 3, figsize=(12.5, 3.9), layout="constrained")
left.plot(losses, lw=0.3)
left.plot(np.convolve(losses, np.ones(100) / 100, mode="valid"), label="mean of 100 steps")
left.axhline((k + 1) * math.log(2), color="k", ls=":", lw=1)
left.set(xlabel="step", ylabel="loss", title=r"dotted: $(k+1)\log 2$")
left.legend(fontsize=8)
people = E[:8] / E[:8].norm(dim=1, keepdim=True)
trait = torch.tensor([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)]) - 0.5     # gender, age, rank
steps = trait.T @ people                                                        # the mean steps
steps = steps / steps.norm(dim=1, keepdim=True)
flat = people @ steps.T @ torch.tensor([[1.0, 0.0], [0.45, 0.3], [0.0, 1.0]])
for i in range(8):
    for bit, colour in ((1, "C3"), (2, "C2"), (4, "C0")):
        if not i & bit:
            middle.plot(*flat[[i, i | bit]].T, color=colour, lw=1)
    middle.annotate(words[i], flat[i], ha="center", fontsize=9)
for colour, name in (("C3", "gender"), ("C2", "age"), ("C0", "rank")):
    middle.plot([], [], color=colour, label=name)
middle.set(xlabel="gender (and some age)", ylabel="rank (and some age)", title="the eight people")
middle.margins(0.15)
middle.legend(fontsize=8)
right.plot(best[seen], (E @ O.T)[seen], ".", ms=3)
right.axline((0, 0), slope=1, color="k", lw=1)
right.set(xlabel=r"counted: $\log P(o|c)/P_n(o) - \log k$", ylabel=r"learned: $v_c\cdot u_o$",
          title="pairs seen at least 20 times")
plt.show()

# %% [markdown] lang="en"
r"""
## 6 · king − man + woman

Lines of one colour are nearly parallel: the step from "man" to "king" is the step from "woman" to "queen". So arithmetic should work: start at king, take man away, add woman, and ask which word is nearest. It was done so in 2013 ([Mikolov, Yih and Zweig](https://aclanthology.org/N13-1090/)): scale all vectors to length 1, then look for

$$\arg\max_{x}\ \cos\big(x,\ a - b + c\big)$$

One detail is easy to miss, and it is in nearly every program: **the words a, b and c are not allowed as answers**. Is that a detail? Write it with a switch, and then count, over many questions, what the switch does.
"""

# %% [markdown] lang="zh"
r"""
## 6 · king − man + woman

同色的线段近乎平行：从 man 到 king 的一步，就是从 woman 到 queen 的一步。所以算术应当成立：从 king 出发，减去 man，加上 woman，再问哪个词最近。2013 年就是这样做的（[Mikolov、Yih 与 Zweig](https://aclanthology.org/N13-1090/)）：把所有向量缩放到长度 1，然后求

$$\arg\max_{x}\ \cos\big(x,\ a - b + c\big)$$

有一个细节很容易忽略，而它几乎存在于每个程序中：**不允许以 a、b、c 这三个词作答**。这只是个细节吗？请把它写成一个开关，再用大量问题统计这个开关究竟起了什么作用。
"""

# %% exercise="analogies"
from ladder.solutions.stage1_foundation.day08_word2vec import analogy, analogy_accuracy

# %% [markdown] lang="zh" docstring="analogy"
r"""
与 a − b + c（例如 king − man + woman）最近的 ``top`` 个词。

先把 ``E`` 的各行缩放到长度 1（全零的行仍为零）；目标是缩放后各行的 E[a] − E[b] + E[c]。
返回 (ids, cosines)，最好的在前：与目标余弦最大的词。``exclude`` 为真时，a、b、c 这三个词本身不参与。
``top`` 不超过剩下的词数。``E`` 不得被改动。
"""

# %% [markdown] lang="zh" docstring="analogy_accuracy"
r"""
对问题 (a, b, c, d)，与 a − b + c 最近的词是 d 的比例有多大。

“最近”的含义与 ``analogy`` 相同（各行缩放到长度 1，余弦最大）。返回一个字典，含三个 Python float，都是占 q 个问题的比例：

    "excluded"  排除 a、b、c 时，答案是 d
    "plain"     不排除任何词时，答案是 d
    "input"     不排除任何词时，答案是 a、b 或 c

对一万个词、数千个问题也要足够快：分块计算，但不要一次全算，那会占用数 GB 内存。
"""

# %% [markdown] hint="analogies" lang="en"
r"""
Scale first, then add: the order matters. A row of zeros has length 0, so do not divide by it as it is. To leave words out, give them a score that no word can have.
"""

# %% [markdown] hint="analogies" lang="zh"
r"""
先缩放，再相加：次序很要紧。全零的行长度为 0，不能直接去除。要排除某些词，就给它们一个任何词都不可能有的分数。
"""

# %% [markdown] hint="analogies" lang="en"
r"""
torch.nn.functional.normalize(E, dim=1) scales rows and takes care of zeros; topk sorts. In analogy_accuracy take a few hundred questions at a time: scores of shape (questions, V); argmax does not care about the length of the target. scatter_ overwrites the inputs of each row, after you have read the plain answer.
"""

# %% [markdown] hint="analogies" lang="zh"
r"""
torch.nn.functional.normalize(E, dim=1) 缩放各行并顾及零行；topk 负责排序。analogy_accuracy 中每次取几百个问题：分数的形状为（问题数, V）；argmax 与目标的长度无关。读出不排除时的答案之后，再用 scatter_ 覆盖每一行的输入词。
"""

# %%
from ladder.graders.stage1_foundation.day08_word2vec import check_analogy

check_analogy(analogy)

# %%
from ladder.graders.stage1_foundation.day08_word2vec import check_analogy_accuracy

check_analogy_accuracy(analogy_accuracy)

# %% [markdown] lang="en"
r"""
The question, put to your own vectors first, and then to GloVe's: 50 dimensions, trained by [Pennington, Socher and Manning](https://aclanthology.org/D14-1162/) on six billion tokens (Day 49 builds GloVe). Only the first 10,000 words are used. The line printed says whether these are real vectors; if it says *sample*, the figures mean nothing.
"""

# %% [markdown] lang="zh"
r"""
这个问题，先问你自己的向量，再问 GloVe 的向量：50 维，由 [Pennington、Socher 与 Manning](https://aclanthology.org/D14-1162/) 在六十亿词元上训练（第 49 天会实现 GloVe）。只使用前 10,000 个词。打印的那一行说明这些向量是否真实；若是*样本*，这些数字就没有意义。
"""

# %%
def read_vectors(path, most=10_000):
    """Words and vectors of an npz file; the words are an array, or one string with a word a line."""
    with np.load(path) as file:
        names, vectors = file["words"], file["vectors"]
    names = names.tolist() if names.ndim else str(names).split("\n")
    return names[:most], torch.tensor(vectors[:most], dtype=torch.float32)


glove = load("glove")
print(glove.notice("en"))
glove_words, G = read_vectors(glove["vectors"])
glove_number = {word: i for i, word in enumerate(glove_words)}

for title, vectors, names in (("our corpus", E, words), ("GloVe", G, glove_words)):
    king, man, woman = (names.index(word) for word in ("king", "man", "woman"))
    for exclude in (True, False):
        ids, cosines = analogy(vectors, king, man, woman, top=4, exclude=exclude)
        answers = ", ".join(f"{names[i]} {x:.2f}" for i, x in zip(ids, cosines, strict=True))
        print(f"{title:10} {'without' if exclude else 'with   '} the inputs: {answers}")
    U = vectors / vectors.norm(dim=1, keepdim=True)
    steps = U[names.index("queen")] - U[king], U[woman] - U[man]
    print(f"{title:10} cosine of (queen − king) and (woman − man):",
          f"{float(torch.nn.functional.cosine_similarity(*steps, dim=0)):.2f}")
cube = [(a, a ^ bit, d ^ bit, d) for bit in (1, 2, 4) for a in range(8) for d in range(8)
        if d not in (a, a ^ bit) and a & bit == d & bit]       # one trait changes, in both pairs
print(f"{len(cube)} such questions about our eight people:", analogy_accuracy(E, torch.tensor(cube)))

# %% [markdown] lang="en"
r"""
In the grammar, where rank and gender really are independent, it is true: queen is nearest, with nothing excluded, and all 72 questions of this kind about the eight people come out right (with each of three seeds we tried). In GloVe it is **king** that is nearest to king − man + woman (cosine 0.885 in our run; queen 0.852). "Queen" wins because king is not allowed to.

One example proves nothing either way. The set of questions that came with word2vec has 19,544, of which 6,762 lie within these 10,000 words. A row "Athens Greece Baghdad Iraq" asks for Greece − Athens + Baghdad. A baseline belongs beside them, as Linzen ([arXiv 1606.07736](https://arxiv.org/abs/1606.07736)) asked: the nearest neighbour of c alone, without any arithmetic.
"""

# %% [markdown] lang="zh"
r"""
在文法里，地位与性别确实相互独立，等式为真：什么都不排除，最近的就是 queen，而且关于这八个人物的全部 72 个此类问题都答对了（我们试过的三个种子都如此）。在 GloVe 里，离 king − man + woman 最近的却是 **king**（我们测得余弦为 0.885；queen 为 0.852）。queen 获胜，是因为不许 king 参赛。

单独一个例子什么也证明不了，正反都一样。随 word2vec 发布的问题集有 19,544 题，其中 6,762 题落在这 10,000 个词之内。“Athens Greece Baghdad Iraq”这一行问的是 Greece − Athens + Baghdad。旁边还应有一个基线，这是 Linzen（[arXiv 1606.07736](https://arxiv.org/abs/1606.07736)）提出的：不做任何算术，只取 c 自己的最近邻。
"""

# %%
sections = {}
for line in load("word_analogies", "questions")["questions"].read_text().lower().splitlines():
    row = line.split()
    if row[0] == ":":
        section = row[1]
    elif all(word in glove_number for word in row):
        first, second, third, fourth = (glove_number[word] for word in row)
        sections.setdefault(section, []).append([second, first, third, fourth])
sections = {name: torch.tensor(rows) for name, rows in sections.items()}


def nearest_to_c(vectors, questions):
    """How often d is the nearest neighbour of c, the inputs left out: no arithmetic at all."""
    U = vectors / vectors.norm(dim=1, keepdim=True)
    right = 0
    for part in questions.split(256):
        scores = (U[part[:, 2]] @ U.T).scatter(1, part[:, :3], -2.0)
        right += int((scores.argmax(dim=1) == part[:, 3]).sum())
    return right / len(questions)


every = torch.cat(list(sections.values()))
report = {name: analogy_accuracy(G, rows) | {"c alone": nearest_to_c(G, rows)}
          for name, rows in sections.items()}
total = analogy_accuracy(G, every) | {"c alone": nearest_to_c(G, every)}
print(f"{len(every)} questions:", ", ".join(f"{name} {x:.1%}" for name, x in total.items()))

fig, ax = plt.subplots(figsize=(11, 4), layout="constrained")
for shift, name in enumerate(("excluded", "plain", "input", "c alone")):
    ax.bar(np.arange(len(report)) + 0.2 * shift - 0.3, [r[name] for r in report.values()], 0.2,
           label=f"{name}: {total[name]:.0%} of all")
ax.set_xticks(range(len(report)), [f"{name} ({len(sections[name])})" for name in report],
              rotation=35, ha="right", fontsize=8)
ax.set(ylabel="fraction of questions", title="a − b + c in GloVe", ylim=(0, 1.15))
ax.legend(fontsize=8, ncol=4, loc="upper center")
plt.show()

# %% [markdown] lang="en"
r"""
Measured with the reference on the 6,762 questions: with the inputs excluded **58.5 %** are right; with nothing excluded **37.7 %**; in **48.4 %** the nearest word is one of the inputs; and **23.3 %** are right by taking c's nearest neighbour alone. There is real structure in the arithmetic, far above the baseline, and nationalities hardly need the exclusion at all. For present participles it does most of the work.

Why? All vectors have length 1, so one line of algebra says when the true answer beats c: $(a-b+c)\cdot(d-c)$ must be positive, and $c\cdot(d-c) = -\tfrac12|d-c|^2$. Hence

$$d\ \text{is nearer than}\ c \iff (a-b)\cdot(d-c) > \tfrac12\,|d-c|^2$$

For two steps of equal length: if and only if their cosine exceeds $\tfrac12$. "Parallel" is far more than that. In GloVe this cosine is 0.75 on average for nationalities, 0.63 for the family, 0.23 for present participles. For woman − man and queen − king it is 0.58, enough for equal lengths; but the first has length 0.48 and the second 0.66, and so king stays in front.

The same switch can invent things. Nissim and others ([arXiv 1905.09866](https://arxiv.org/abs/1905.09866)) show that "man is to doctor as woman is to *nurse*" was found by programs that were not *allowed* to answer "doctor". Try it on `G`: the words are all there. (There is bias in such vectors; this is just not the way to measure it.)

**Written answer (6 points).** *Is king − man + woman really queen?* Write half a page for a colleague who has only seen the slogan.

- 2 points: the result on GloVe with and without excluding the inputs, with figures, for the one example *and* for the many questions
- 1 point: what happens on the grammar's corpus, and why it differs from real text
- 1 point: why the sum $a-b+c$ so often stays nearest to an input: an argument with lengths or cosines of the two steps
- 1 point: what the baseline "c alone" shows
- 1 point: a one-sentence verdict that claims neither too much nor too little
"""

# %% [markdown] lang="zh"
r"""
参考实现在 6,762 题上的测量结果：排除输入时答对 **58.5 %**；什么都不排除时 **37.7 %**；有 **48.4 %** 的题最近的词就是某个输入；只取 c 的最近邻也能答对 **23.3 %**。算术中确有真实的结构，远高于基线；国籍类几乎用不着排除，而现在分词类主要是“排除”在起作用。

为什么？所有向量长度为 1，所以一行代数就能说明正确答案何时胜过 c：$(a-b+c)\cdot(d-c)$ 必须为正，而 $c\cdot(d-c) = -\tfrac12|d-c|^2$。因此

$$d\ \text{is nearer than}\ c \iff (a-b)\cdot(d-c) > \tfrac12\,|d-c|^2$$

若两步长度相等，当且仅当二者的余弦大于 $\tfrac12$；而“平行”要求的远不止于此。在 GloVe 中，这个余弦的平均值在国籍类为 0.75，亲属类为 0.63，现在分词类为 0.23。woman − man 与 queen − king 的余弦为 0.58，长度相等时本来够了；但前者长 0.48，后者长 0.66，于是 king 仍排在前面。

同一个开关还能凭空造出结论。Nissim 等人（[arXiv 1905.09866](https://arxiv.org/abs/1905.09866)）指出，“man 之于 doctor 如同 woman 之于 *nurse*”是由*不允许*回答 doctor 的程序得出的。在 `G` 上试试看：这些词都在其中。（这类向量中确有偏见，只是不该用这种办法来测量。）

**书面回答（6 分）。** *king − man + woman 真的等于 queen 吗？* 为一位只听过这句口号的同事写半页说明。

- 2 分：GloVe 上排除与不排除输入的结果，给出数字，既要有这一个例子，*也*要有大量问题的统计
- 1 分：在文法语料上结果如何，为什么与真实文本不同
- 1 分：为什么和 $a-b+c$ 常常仍离某个输入最近：用两步的长度或余弦来论证
- 1 分：基线“只用 c”说明了什么
- 1 分：一句话的结论，既不夸大也不贬低
"""

# %% [markdown] written="written_queen" lang="en"
r"""
*Your answer here.*
"""

# %% [markdown] written="written_queen" lang="zh"
r"""
*在此作答。*
"""

# %% [markdown] model="written_queen" lang="en"
r"""
In GloVe (50 dimensions, 10,000 most frequent words) the word nearest to king − man + woman is king (cosine 0.885); queen comes second (0.852). It is the answer only because programs leave the three inputs out. Over 6,762 questions, 58.5 % are right with that exclusion and 37.7 % without; in 48.4 % the plain answer is one of the inputs.

On the grammar's corpus queen is nearest without excluding anything. There rank, gender and age are independent by construction, and every context word depends on one of them, so the table of co-occurrences, which the dot products fit, is a sum of independent parts. In real text a queen is not a king with another pronoun: she stands in other sentences, beside other words, and there are few traits that change alone.

All vectors have length 1, so d is nearer to the sum than c only if $(a-b)\cdot(d-c) > \tfrac12|d-c|^2$. For steps of equal length this asks for a cosine above one half between them. The steps woman − man and queen − king have cosine 0.58, but the first is shorter (0.48 against 0.66), so king stays in front. They are related, not equal.

The nearest neighbour of c, without arithmetic, is right in 23.3 %: part of the success is that answers lie near c anyway. The remaining gain is due to the offset.

Verdict: the offset points in the right direction far more often than chance or the neighbourhood alone explains, but "king − man + woman = queen" is true only of a ranking from which king has been removed.
"""

# %% [markdown] model="written_queen" lang="zh"
r"""
在 GloVe（50 维，最常见的 10,000 个词）中，离 king − man + woman 最近的词是 king（余弦 0.885），queen 排第二（0.852）。它之所以成为答案，只是因为程序排除了三个输入词。在 6,762 题上，排除输入时答对 58.5 %，不排除时 37.7 %；有 48.4 % 的题，不排除时的答案就是某个输入。

在文法语料上，什么都不排除，最近的就是 queen。那里地位、性别、年龄按构造相互独立，每个上下文词只取决于其中之一，所以点积所拟合的共现表就是几个独立部分之和。真实文本中，queen 并不是换了代词的 king：她出现在别的句子里，身边是别的词，很少有特征会单独变化。

所有向量长度为 1，所以只有当 $(a-b)\cdot(d-c) > \tfrac12|d-c|^2$ 时，d 才比 c 更接近这个和。若两步长度相等，就要求二者的余弦大于二分之一。woman − man 与 queen − king 的余弦为 0.58，但前者较短（0.48 对 0.66），于是 king 仍在前面。二者有关联，却不相等。

不做算术，c 的最近邻就能答对 23.3 %：部分成功只是因为答案本来就在 c 附近。其余的增益才来自偏移。

结论：偏移指向正确方向的次数，远多于随机或单凭邻域所能解释的；但“king − man + woman = queen”只在一份删去了 king 的排名中成立。
"""

# %% [markdown] lang="en"
r"""
## What you have now

| function | what it is for |
| --- | --- |
| `skipgram_pairs`, `cbow_pairs` | windows over text; Day 49 counts them for GloVe |
| `noise_distribution`, `sample_negatives` | contrastive training everywhere: a true one among random ones |
| `sgns_loss`, `sgns_grads` | einsum and a hand-made gradient; the same loss returns with images and text |
| `sgns_step`, `train_word2vec` | an embedding table updated sparsely, repeated rows added up |
| `analogy`, `analogy_accuracy` | nearest neighbours by cosine, and a figure that is not cherry-picked |

Each word has *one* vector here, whatever the sentence: a river's bank and a bank with money share it. Tomorrow a network reads words in order.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的工具

| 函数 | 用途 |
| --- | --- |
| `skipgram_pairs`、`cbow_pairs` | 文本上的窗口；第 49 天的 GloVe 要对它们计数 |
| `noise_distribution`、`sample_negatives` | 到处都会用到的对比训练：从随机样本中认出真的那个 |
| `sgns_loss`、`sgns_grads` | einsum 与手推的梯度；同样的损失还会在图文模型中出现 |
| `sgns_step`、`train_word2vec` | 稀疏更新的嵌入表，重复的行累加 |
| `analogy`、`analogy_accuracy` | 余弦最近邻，以及一个不是精挑细选的数字 |

在这里每个词只有*一个*向量，无论在什么句子里：河岸的 bank 与银行的 bank 共用它。明天，网络将按次序读词。
"""
