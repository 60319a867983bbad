"""Checks of Day 14: batches, the GPT, its loss, its training and its writing."""

from types import SimpleNamespace

import torch
from torch import nn

from ladder.checks import accuracy_at_least, check, close, exactly, raises, say

READY_MADE = ("torch.nn.LayerNorm", "torch.nn.MultiheadAttention", "torch.nn.TransformerEncoder",
              "torch.nn.TransformerEncoderLayer", "torch.nn.TransformerDecoder",
              "torch.nn.TransformerDecoderLayer", "torch.nn.Transformer", "transformers")


def normal(rng, *shape):
    return torch.tensor(rng.normal(size=shape))


def tokens(rng, V, *shape):
    return torch.tensor(rng.integers(V, size=shape))


def keeps_global_generator(run):
    """Is torch's global random state after ``run`` what it was before?"""
    before = torch.get_rng_state()
    run()
    return bool(torch.equal(before, torch.get_rng_state()))


@check()
def check_get_batch(get_batch, rng):
    """Windows, targets, and where windows start."""
    seed = int(rng.integers(1000))
    data = 7 + 3 * torch.arange(40)
    for k, name in enumerate("xy"):
        yield say(f"shape of {name}, T = 5, B = 4", f"{name} 的形状，T = 5，B = 4"), (
            lambda: list(get_batch(data.clone(), 5, 4, seed)[k].shape))
        yield say(f"dtype of {name} for uint8 data", f"数据为 uint8 时 {name} 的 dtype"), (
            lambda: str(get_batch(data.to(torch.uint8), 5, 4, seed)[k].dtype))
        yield say(f"data 7, 10, 13, ...: the steps within the rows of {name}",
                  f"数据为 7、10、13……：{name} 各行内的步长"), (
            lambda: get_batch(data.clone(), 5, 4, seed)[k].diff(dim=1))
    yield say("the same data: y − x", "同样的数据：y − x"), (
        lambda: (lambda x, y: y - x)(*get_batch(data.clone(), 5, 4, seed)))
    yield say("exactly T + 1 tokens: x and y", "恰好 T + 1 个 token：x 与 y"), (
        lambda: list(get_batch(data[:6].clone(), 5, 2, seed)))
    yield say("T tokens only", "只有 T 个 token"), (
        lambda: get_batch(data[:5].clone(), 5, 2, seed)), raises(ValueError)

    def starts(N, B):
        return get_batch(torch.arange(N), 5, B, seed)[0][:, 0]

    yield say("8 tokens, T = 5, 200 rows: all starts that occur", "8 个 token，T = 5，200 行：出现过的全部起点"), (
        lambda: starts(8, 200).unique())
    yield say("9 tokens, 4000 rows: is the mean start near 1.5?", "9 个 token，4000 行：起点的平均值接近 1.5 吗？"), (
        lambda: abs(float(starts(9, 4000).double().mean()) - 1.5) < 0.12)
    yield say("10000 tokens, 50 rows: more than 40 different starts?", "10000 个 token，50 行：不同的起点超过 40 个吗？"), (
        lambda: len(starts(10000, 50).unique()) > 40)
    big = tokens(rng, 1000, 5000)
    yield say("the same seed twice: the same batch?", "同一种子两次：得到同一批吗？"), (
        lambda: bool(torch.equal(get_batch(big, 5, 9, seed)[0], get_batch(big, 5, 9, seed)[0])))
    yield say("two seeds: different batches?", "两个种子：得到不同的批吗？"), (
        lambda: not torch.equal(get_batch(big, 5, 9, seed)[0], get_batch(big, 5, 9, seed + 1)[0]))
    yield say("is torch's global generator as it was?", "torch 的全局随机数发生器保持原样吗？"), (
        lambda: keeps_global_generator(lambda: get_batch(big, 5, 9, seed)))


DRAW = "torch.randint(len(data) - T, (B, 1), generator=generator)"
check_get_batch.mistake(
    say("y is x itself: then the model only has to copy. Which token should it predict at place t?",
        "y 就是 x 本身：模型只需照抄。在位置 t 它应当预测哪个 token？"),
    within="get_batch", replace={"windows[:, 1:]": "windows[:, :-1]"})
check_get_batch.mistake(
    say("One start never occurs: is the last window that fits among yours?",
        "有一个起点从不出现：放得下的最后一个窗口，你取得到吗？"),
    within="get_batch", replace={DRAW: DRAW.replace("- T", "- T - 1 or 1")})
check_get_batch.mistake(
    say("Some windows have no target for their last token. How many tokens does a row of x and y need?",
        "有的窗口末尾的 token 没有目标。x 与 y 的一行一共需要多少个 token？"),
    within="get_batch", replace={"< T + 1": "< T", DRAW: DRAW.replace("- T", "- T + 1"),
                                 "data[starts": "data.roll(0)[(starts", "T + 1)].": "T + 1)) % len(data)]."})
check_get_batch.mistake(
    say("All rows of a batch start at the same place.", "一批中所有行都从同一处开始。"),
    within="get_batch", replace={"(B, 1), generator=generator)":
                                 "(1, 1), generator=generator).expand(B, 1)"})
check_get_batch.mistake(
    say("torch.manual_seed here would make everything else that is random repeat itself, dropout too.",
        "在这里调用 torch.manual_seed，会使其他一切随机的东西（包括 dropout）也跟着重复。"),
    within="get_batch", replace={"torch.Generator().manual_seed(seed)": "torch.manual_seed(seed)"})
check_get_batch.mistake(
    say("Embedding tables are indexed by int64.", "嵌入表要用 int64 来索引。"),
    within="get_batch", replace={".long()": ""})


V, T, L, H, D = 11, 8, 2, 2, 16


def gpt_values(rng):
    """A value for every parameter of a GPT, by name."""
    shapes = {"wte": (V, D), "wpe": (T, D), "ln.g": (D,), "ln.b": (D,)}
    for i in range(L):
        parts = {"attn.Wq": (D, D), "attn.Wk": (D, D), "attn.Wv": (D, D), "attn.Wo": (D, D),
                 "ffn.W1": (D, 4 * D), "ffn.b1": (4 * D,), "ffn.W2": (4 * D, D), "ffn.b2": (D,),
                 "ln1.g": (D,), "ln1.b": (D,), "ln2.g": (D,), "ln2.b": (D,)}
        shapes |= {f"blocks.{i}.{name}": shape for name, shape in parts.items()}
    return {name: 0.5 * normal(rng, *shape) for name, shape in shapes.items()}


def holding(model, values):
    model = model.double()
    with torch.no_grad():
        for name, value in values.items():
            model.get_parameter(name).copy_(value)
    return model


@check(forbids=READY_MADE)
def check_gpt(GPT, GPTConfig, rng):
    """Parameters, start, logits, dropout and gradients."""
    values, idx = gpt_values(rng), tokens(rng, V, 3, T)
    w = normal(rng, 3, T, V)

    def model(p=0.0, training=False):
        return holding(GPT(GPTConfig(V, T, L, H, D, p)), values).train(training)

    yield say("names and shapes of all parameters", "全部参数的名字与形状"), lambda: sorted(
        (name, list(p.shape)) for name, p in GPT(GPTConfig(V, T, L, H, D)).named_parameters())
    yield say("model.cfg", "model.cfg"), lambda: vars(GPT(GPTConfig(V, T, L, H, D)).cfg)

    def start():
        torch.manual_seed(int(idx.sum()))
        params = dict(GPT(GPTConfig(64, 32, L, H, 32)).named_parameters())
        ratio = {}
        for name, p in params.items():
            ratio[name] = round(float(p.detach().double().std() / 0.02), 6) if p.ndim == 2 else p
        return ratio

    def near(name, wanted):
        return abs(start()[name] / wanted - 1) < 0.12

    for name, wanted in (("wte", 1), ("wpe", 1), ("blocks.1.attn.Wk", 1), ("blocks.0.ffn.W1", 1),
                         ("blocks.0.attn.Wo", 0.5), ("blocks.1.ffn.W2", 0.5)):
        yield say(f"{name} at first, L = 2: is its standard deviation {0.02 * wanted:g}?",
                  f"{name} 的初值，L = 2：标准差是 {0.02 * wanted:g} 吗？"), lambda: near(name, wanted)
    for name in ("blocks.1.ffn.b1", "blocks.0.ln1.g", "ln.g", "ln.b"):
        yield say(f"{name} at first", f"{name} 的初值"), lambda: start()[name]
    for t in (1, 5, T):
        yield say(f"logits for {t} tokens", f"{t} 个 token 的 logits"), lambda: model()(idx[:, :t].clone())
    yield say("more tokens than positions", "token 比位置多"), (
        lambda: model()(tokens(rng, V, 1, T + 1))), raises(ValueError)
    yield say("dtype of a float32 model's logits", "float32 模型的 logits 的 dtype"), (
        lambda: str(GPT(GPTConfig(V, T, L, H, D))(idx).dtype))
    yield say("training mode, p = 0: logits", "训练模式，p = 0：logits"), lambda: model(0.0, True)(idx)
    yield say("evaluation mode, p = 0.5: logits", "评估模式，p = 0.5：logits"), lambda: model(0.5)(idx)
    yield say("training mode, p = 1 (everything is dropped): logits", "训练模式，p = 1（全部丢弃）：logits"), (
        lambda: model(1.0, True)(idx))

    def dropped():
        """The share of zeros that reach the end if all branches are shut."""
        shut = {k: 0 * v for k, v in values.items() if k.endswith(("Wo", "W2", "b2", "ln.b"))}
        shut |= {"ln.g": torch.ones(D), "wpe": torch.ones(T, D), "wte": 1e-9 * torch.eye(V, D)}
        with torch.no_grad():
            logits = holding(model(0.25, True), shut)(tokens(rng, V, 60, T))
        return abs(float((logits < 0).double().mean()) - 0.25) < 0.05

    yield say("training mode, p = 0.25, Wo, W2, b2 = 0: is a quarter of the stream 0 at the end?",
              "训练模式，p = 0.25，Wo、W2、b2 为 0：最后残差流中有四分之一是 0 吗？"), dropped

    def grads():
        net = model()
        (net(idx) * w).sum().backward()
        return {name: p.grad for name, p in net.named_parameters()}

    yield say("gradient of wte, which is used twice", "wte 的梯度（它被用了两次）"), lambda: grads()["wte"]
    yield say("gradients of all parameters", "全部参数的梯度"), grads


check_gpt.mistake(
    say("Every token sees the future: what is missing in the attention?", "每个 token 都看到了未来：注意力里缺了什么？"),
    within="GPT.forward", replace={"drop(b.attn(u, mask))": "drop(b.attn(u))"})
check_gpt.mistake(
    say("The logits do not know where a token stands.", "logits 不知道 token 站在哪里。"),
    within="GPT.forward", replace={"self.wte[idx] + self.wpe[:t]": "self.wte[idx]"})
check_gpt.mistake(
    say("Positions are counted from the wrong end. Which row of wpe belongs to the first token?",
        "位置数反了方向。第一个 token 对应 wpe 的哪一行？"),
    within="GPT.forward", replace={"self.wpe[:t]": "self.wpe[-t:]"})
check_gpt.mistake(
    say("The stream of a pre-norm stack goes into the output without its normalisation.",
        "Pre-Norm 堆叠的残差流未经归一化就进入了输出。"),
    within="GPT.forward", replace={"self.ln(x) @": "x @"})
check_gpt.mistake(
    say("Only the embeddings are dropped. Section 5.4 names a second place.", "只对嵌入作了 dropout。5.4 节还说了另一处。"),
    within="GPT.forward", replace={"drop(b.attn(u, mask))": "b.attn(u, mask)", "drop(b.ffn(u))": "b.ffn(u)"})
check_gpt.mistake(
    say("Dropout is on in evaluation mode too.", "评估模式下 dropout 也开着。"),
    within="GPT.forward", replace={"self.cfg.dropout, self.training": "self.cfg.dropout, True"})
check_gpt.mistake(
    say("Dropout falls on the stream itself, block after block; it should fall on what is added to it.",
        "dropout 作用到了残差流本身，一个 Block 接一个 Block；它应当作用在要加上去的部分。"),
    within="GPT.forward",
    replace={"x = sublayer(x, lambda u, b=block: drop(b.ffn(u)), block.ln2, \"pre\")":
             "x = drop(sublayer(x, lambda u, b=block: drop(b.ffn(u)), block.ln2, \"pre\"))"})
check_gpt.mistake(
    say("The matrices that write into the stream start as large as the others: 2L branches add up.",
        "写入残差流的矩阵，初值与其他矩阵一样大：2L 个分支会累加起来。"),
    within="GPT.__init__", replace={"0.02 / math.sqrt(2 * cfg.L) if writes else 0.02": "0.02"})
check_gpt.mistake(
    say("Two matrices of each block write into the stream, and only one of them starts smaller.",
        "每个 Block 有两个矩阵写入残差流，只有一个取了较小的初值。"),
    within="GPT.__init__", replace={'("Wo", "W2")': '("Wo",)'})
check_gpt.mistake(
    say("Blocks are missing from the parameters: nn.Module looks into an nn.ModuleList, not into a list.",
        "参数里没有各个 Block：nn.Module 会查看 nn.ModuleList，但不查看列表。"),
    within="GPT.__init__", replace={"nn.ModuleList([Block(sizes, \"pre\") for _ in range(cfg.L)])":
                                    "[Block(sizes, \"pre\").double() for _ in range(cfg.L)]"})


@check()
def check_loss(clm_loss, ntp_loss, rng):
    """Targets at the same place, and the shift by one."""
    logits, ids = 2 * normal(rng, 3, 6, 7), tokens(rng, 7, 3, 6)
    padded = ids.clone()
    padded[1, 3:], padded[2, 5:] = -1, -1
    yield say("clm_loss", "clm_loss"), lambda: clm_loss(logits.clone(), ids.clone())
    yield say("clm_loss where some targets are −1", "部分目标为 −1 时的 clm_loss"), (
        lambda: clm_loss(logits.clone(), padded.clone()))
    yield say("clm_loss of equal logits, V = 7: ln 7", "各 logits 相等、V = 7 时的 clm_loss：ln 7"), (
        lambda: clm_loss(torch.zeros(2, 3, 7, dtype=torch.float64), ids[:2, :3]))
    yield say("clm_loss, logits near 10000", "logits 在 10000 附近时的 clm_loss"), (
        lambda: clm_loss(5000 * logits, ids.clone()))
    yield say("ntp_loss of two tokens", "两个 token 的 ntp_loss"), (
        lambda: ntp_loss(logits[:, :2].clone(), ids[:, :2].clone()))
    yield say("ntp_loss, T = 6", "ntp_loss，T = 6"), lambda: ntp_loss(logits.clone(), ids.clone())
    yield say("ntp_loss with padding at the end", "末尾有填充时的 ntp_loss"), (
        lambda: ntp_loss(logits.clone(), padded.clone()))

    def gradient():
        leaf = logits.clone().requires_grad_()
        ntp_loss(leaf, padded).backward()
        return leaf.grad

    yield say("gradient of ntp_loss", "ntp_loss 的梯度"), gradient


check_loss.mistake(
    say("Each token is judged by itself: the model has already read it.", "每个 token 用自己来评判：模型已经读过它了。"),
    within="ntp_loss", replace={"logits[:, :-1], ids[:, 1:]": "logits, ids"})
check_loss.mistake(
    say("The shift goes the wrong way: logits at t are judged by the token before.",
        "错位的方向反了：t 处的 logits 用前一个 token 来评判。"),
    within="ntp_loss", replace={"logits[:, :-1], ids[:, 1:]": "logits[:, 1:], ids[:, :-1]"})
check_loss.mistake(
    say("Places with target −1 count too.", "目标为 −1 的位置也算进去了。"),
    within="clm_loss", replace={"targets.flatten(), ignore_index=-1": "targets.flatten().clamp(min=0)"})
check_loss.mistake(
    say("The sum over all places; the mean is asked for.", "你取了各位置之和；要的是平均。"),
    within="clm_loss", replace={"ignore_index=-1": 'ignore_index=-1, reduction="sum"'})
check_loss.mistake(
    say("With padding, the sum is divided by all places. How many count?", "有填充时，总和除以了所有位置数。真正计入的有多少个？"),
    within="clm_loss", replace={"ignore_index=-1)": 'ignore_index=-1, reduction="sum") / targets.numel()'})


class Parts(nn.Module):
    """A module with a matrix, vectors, a 3-d tensor, a scalar, a shared matrix and a frozen one."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(3, 4), nn.LayerNorm(4)
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.first.weight
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.filter, self.scale = nn.Parameter(torch.ones(2, 3, 2)), nn.Parameter(torch.tensor(1.0))


@check()
def check_adamw_groups(adamw_groups, rng):
    """Who decays, who does not."""
    decay = round(float(rng.uniform(0.01, 0.5)), 3)

    def names(k):
        parts = Parts()
        known = {id(p): name for name, p in parts.named_parameters()}
        return sorted(known.get(id(p), "?") for p in list(adamw_groups(parts, decay)[k]["params"]))

    yield say("how many groups", "有几组"), lambda: len(adamw_groups(Parts(), decay))
    yield say("who decays", "哪些参数衰减"), lambda: names(0)
    yield say("who does not", "哪些不衰减"), lambda: names(1)
    yield say("weight_decay of the two groups", "两组的 weight_decay"), (
        lambda: [float(group["weight_decay"]) for group in adamw_groups(Parts(), decay)])
    yield say("a model without vectors: sizes of the groups", "没有向量参数的模型：两组的大小"), (
        lambda: [len(list(g["params"])) for g in adamw_groups(nn.Linear(2, 2, bias=False), decay)])


GROUP = "for p in model.parameters() if p.requires_grad"
check_adamw_groups.mistake(
    say("Everything decays. Should a gain be pulled towards 0?", "所有参数都在衰减。增益应当被拉向 0 吗？"),
    within="adamw_groups", replace={'"weight_decay": 0.0': '"weight_decay": weight_decay'})
check_adamw_groups.mistake(
    say("Frozen parameters are in a group.", "冻结的参数也进了组。"),
    within="adamw_groups", replace={GROUP: "for p in model.parameters()"})
check_adamw_groups.mistake(
    say("A shared matrix occurs twice; AdamW would step twice.", "共享的矩阵出现了两次；AdamW 会更新两次。"),
    within="adamw_groups", replace={
        GROUP: "for _, p in model.named_parameters(remove_duplicate=False) if p.requires_grad"})
check_adamw_groups.mistake(
    say("A tensor with three dimensions, such as a filter, is in the wrong group.", "三维的张量（例如卷积核）分错了组。"),
    within="adamw_groups", replace={"p.ndim >= 2": "p.ndim == 2", "p.ndim < 2": "p.ndim != 2"})


@check()
def check_learning_rate(learning_rate, rng):
    """Warm-up, top, fall and end."""
    peak = float(rng.uniform(0.5, 2))
    yield say("step 0 of a warm-up of 4", "预热 4 步中的第 0 步"), lambda: learning_rate(0, 20, peak, 4)
    yield say("the warm-up, steps 0 to 3", "预热，第 0 到 3 步"), (
        lambda: [learning_rate(k, 20, peak, 4) for k in range(4)])
    yield say("step 4, the first after the warm-up", "第 4 步，预热后的第一步"), lambda: learning_rate(4, 20, peak, 4)
    yield say("steps 5 to 19", "第 5 到 19 步"), (
        lambda: [learning_rate(k, 20, peak, 4) for k in range(5, 20)])
    yield say("no warm-up, 7 steps", "无预热，7 步"), lambda: [learning_rate(k, 7, peak, 0) for k in range(7)]


check_learning_rate.mistake(
    say("The first step has rate 0: a step for nothing.", "第一步的学习率是 0：白走了一步。"),
    within="learning_rate", replace={"return peak * (step + 1)": "return peak * step"})
check_learning_rate.mistake(
    say("The fall starts at step 0, as if there were no warm-up.", "下降从第 0 步算起，好像没有预热一样。"),
    within="learning_rate", replace={"u = (step - warmup)": "u = step"})
check_learning_rate.mistake(
    say("It falls to 0; where is the floor?", "学习率降到了 0；下限在哪里？"),
    within="learning_rate", replace={"floor = peak / 10\n    u": "floor = 0.0\n    u"})
check_learning_rate.mistake(
    say("It falls to half way and no further, or below the floor: how far does π u run?",
        "降到一半就不降了，或者降到了下限以下：π u 走到多远？"),
    within="learning_rate", replace={"math.pi * u": "math.pi * u / 2"})


class Bigram(nn.Module):
    """Logits from the last token alone; notes the mode of each call."""

    def __init__(self, W, b):
        super().__init__()
        self.W, self.b, self.modes = nn.Parameter(W.clone()), nn.Parameter(b.clone()), []

    def forward(self, x):
        self.modes.append(self.training)
        return self.W[x] + self.b


@check()
def check_fit(fit, rng):
    """The loop on a model of one matrix and one vector."""
    W, b = normal(rng, 5, 5), normal(rng, 5)
    data = [(tokens(rng, 5, 2, 2 + k), tokens(rng, 5, 2, 2 + k)) for k in range(6)]
    near = close(rtol=1e-4, atol=1e-5)

    def run(steps=6, soiled=False, **kw):
        model, calls = Bigram(W, b), []
        if soiled:
            model(data[0][0]).sum().backward()
            model.modes.clear()
            model.eval()
        history = fit(model, lambda k: calls.append(k) or data[k], steps, **({"lr": 0.1, "warmup": 2} | kw))
        return SimpleNamespace(model=model, calls=calls, history=history,
                               values=[model.W.detach(), model.b.detach()])

    yield say("what batch was called with", "调用 batch 时的参数"), lambda: run().calls
    yield say("modes of the model, step by step, and afterwards", "模型逐步所处的模式，以及之后的模式"), (
        lambda: [*run(soiled=True).model.modes, run().model.training])
    yield say("types in the history", "历史记录中的类型"), (
        lambda: {k: [type(x) is float for x in run().history[k]] for k in ("loss", "lr")})
    yield say("the rates", "学习率"), lambda: run().history["lr"]
    yield say("the first loss", "第一个损失"), lambda: run().history["loss"][0]
    yield say("parameters after one step without decay", "无衰减时走一步之后的参数"), (
        lambda: run(1, weight_decay=0.0, warmup=0).values), near
    yield say("losses without decay or clipping", "无衰减、无裁剪时的各步损失"), (
        lambda: run(weight_decay=0.0, clip=1e9).history["loss"]), near
    yield say("losses with clip = 0.5", "clip = 0.5 时的各步损失"), (
        lambda: run(weight_decay=0.0, clip=0.5).history["loss"]), near
    yield say("parameters with clip = 0.001 after six steps", "clip = 0.001 时六步之后的参数"), (
        lambda: run(weight_decay=0.0, clip=0.001).values), near
    yield say("parameters with weight_decay = 2 after six steps", "weight_decay = 2 时六步之后的参数"), (
        lambda: run(weight_decay=2.0).values), near
    yield say("the parameters carry old gradients: values after six steps", "参数带有旧梯度时：六步之后的参数"), (
        lambda: run(soiled=True).values), near


check_fit.mistake(
    say("Gradients pile up from step to step.", "梯度一步步累积起来了。"),
    within="fit", replace={"optimiser.zero_grad()": "pass"})
check_fit.mistake(
    say("Weight decay does not reach the optimiser, or reaches everything.", "权重衰减没有传到优化器，或者传给了所有参数。"),
    within="fit", replace={"AdamW(adamw_groups(model, weight_decay)": "AdamW(model.parameters()"})
check_fit.mistake(
    say("Every step has the same rate.", "每一步的学习率都一样。"),
    within="fit", replace={"rate = learning_rate(step, steps, lr, warmup)": "rate = lr"})
check_fit.mistake(
    say("The gradients are never clipped.", "梯度从未被裁剪。"),
    within="fit", replace={"nn.utils.clip_grad_norm_(model.parameters(), clip)": "pass"})
check_fit.mistake(
    say("Entries are clipped one by one. One norm belongs to all gradients together (Day 9).",
        "你逐元素裁剪了。所有梯度合起来只有一个范数（第 9 天）。"),
    within="fit", replace={"clip_grad_norm_": "clip_grad_value_"})
check_fit.mistake(
    say("AdamW's betas are its defaults.", "AdamW 的 betas 用了默认值。"),
    within="fit", replace={", betas=(0.9, 0.99)": ""})
check_fit.mistake(
    say("A model that comes in evaluation mode is trained in evaluation mode: dropout would be off.",
        "传入时处于评估模式的模型，就在评估模式下训练：dropout 会是关着的。"),
    within="fit", replace={"model.train()": "pass"})
check_fit.mistake(
    say("The model leaves in training mode.", "训练结束后模型还处于训练模式。"),
    within="fit", replace={"model.eval()": "pass"})


@check()
def check_train_gpt(train_gpt, GPTConfig, rng):
    """A tiny GPT learns a text that repeats itself."""
    order = torch.tensor(rng.permutation(V))
    ring, noise = order.repeat(30), tokens(rng, V, 3000)
    cfg = GPTConfig(V, T, 1, 2, D)

    def losses(steps=3, **kw):
        return train_gpt(cfg, noise, steps, B=4, warmup=0, **kw)[1]["loss"]

    yield say("a GPT with the given cfg, in evaluation mode?", "是具有给定 cfg 的 GPT，并处于评估模式吗？"), (
        lambda: (lambda m: [type(m).__name__, vars(m.cfg), m.training])(
            train_gpt(cfg, noise, 1, B=2, warmup=0)[0]))
    yield say("3 steps: is the first loss near ln 11?", "3 步：第一个损失接近 ln 11 吗？"), (
        lambda: abs(losses()[0] - 2.398) < 0.15)
    yield say("the same arguments twice: the same losses?", "同样的参数两次：损失相同吗？"), (
        lambda: losses() == losses())
    yield say("another seed: other losses?", "换一个种子：损失不同吗？"), lambda: losses() != losses(seed=1)
    yield say("rate 0: does every step have a batch of its own?", "学习率为 0：每一步都有自己的批吗？"), (
        lambda: len(set(losses(4, lr=0.0))) == 4)
    yield say("lr, warmup: the rates", "lr、warmup：学习率"), (
        lambda: train_gpt(cfg, noise, 4, B=2, lr=0.01, warmup=2)[1]["lr"])

    def decayed():
        model = train_gpt(cfg, noise, 3, B=2, lr=0.01, warmup=0, weight_decay=99.0)[0]
        return float(model.blocks[0].ffn.W1.detach().abs().max()) < 0.03

    yield say("weight_decay = 99: do the matrices shrink?", "weight_decay = 99：矩阵缩小了吗？"), decayed

    def predicted():
        model = train_gpt(cfg, ring, 30, B=12, lr=1e-2, warmup=5)[0]
        return model(ring[: 10 * T].view(10, T)).detach().argmax(dim=-1)

    yield say("a text that repeats 11 tokens, 30 steps: the next token", "重复 11 个 token 的文本，训练 30 步：下一个 token"), (
        predicted), accuracy_at_least(ring[1 : 10 * T + 1].view(10, T), 0.9)


check_train_gpt.mistake(
    say("Every step sees the same batch.", "每一步看到的都是同一批。"),
    within="train_gpt", replace={"1_000_000 * seed + step": "seed"})
check_train_gpt.mistake(
    say("Two runs with the same seed differ: what is drawn before the seed is set?",
        "同一种子的两次运行不同：设定种子之前，已经抽取了什么？"),
    within="train_gpt", replace={"    torch.manual_seed(seed)\n": ""})
check_train_gpt.mistake(
    say("The seed does not change anything.", "种子不起任何作用。"),
    within="train_gpt", replace={"    torch.manual_seed(seed)\n": "    torch.manual_seed(0)\n",
                                 "1_000_000 * seed + step": "step"})
check_train_gpt.mistake(
    say("lr and warmup do not arrive where the steps are made.", "lr 与 warmup 没有传到真正走步的地方。"),
    within="train_gpt", replace={"steps, lr, warmup, weight_decay": "steps, weight_decay=weight_decay"})
check_train_gpt.mistake(
    say("x comes in as its own target: y is lost between batch and fit.", "x 成了自己的目标：y 在 batch 与 fit 之间丢了。"),
    within="train_gpt", replace={"y.to(device)": "x.to(device)"})


class Writer(nn.Module):
    """Logits from the last token and the first one it is given; notes what it is called with."""

    def __init__(self, W, U, T=4):
        super().__init__()
        self.W, self.U, self.cfg, self.seen = nn.Parameter(W), nn.Parameter(U), SimpleNamespace(T=T), []

    def forward(self, idx):
        self.seen.append([idx.shape[1], self.training, torch.is_grad_enabled()])
        return self.W[idx] + self.U[idx[:, :1]]


@check()
def check_generate(generate, rng):
    """The greedy path, the frequencies of draws, context, seeds."""
    W, U, seed = 2 * normal(rng, 6, 6), normal(rng, 6, 6), int(rng.integers(1000))
    idx, long = tokens(rng, 6, 3, 2), tokens(rng, 6, 20, 7)
    # Probabilities that differ plainly, and none of them tiny.
    odds = torch.log(torch.tensor([0.05, 0.3, 0.1, 0.4, 0.15], dtype=torch.float64))
    odds = odds[torch.tensor(rng.permutation(5))].expand(5, 5).clone()

    def write(start, n, **kw):
        model = Writer(W.clone(), U.clone())
        return generate(model, start, n, **kw), model.seen

    yield say("temp = 0, one token", "temp = 0，一个 token"), lambda: write(idx.clone(), 1, temp=0)[0], exactly()
    yield say("temp = 0, 7 tokens with a context of 4", "temp = 0，上下文为 4，7 个 token"), (
        lambda: write(idx.clone(), 7, temp=0)[0]), exactly()
    yield say("20 prompts of 7 tokens, context 4, temp = 0: the next token",
              "20 段 7 个 token 的开头，上下文为 4，temp = 0：下一个 token"), (
        lambda: write(long.clone(), 1, temp=0)[0]), exactly()
    yield say("n = 0", "n = 0"), lambda: write(idx.clone(), 0)[0], exactly()
    yield say("length of what the model is given, its mode, gradients: call by call",
              "模型每次收到的长度、所处模式、是否求梯度"), lambda: write(idx.clone(), 4)[1]
    yield say("dtype and shape", "dtype 与形状"), (
        lambda: (lambda out: [str(out.dtype), list(out.shape)])(write(idx.clone(), 5)[0]))

    def shares(**kw):
        model = Writer(odds.clone(), 0 * odds)
        out = generate(model, torch.zeros(6000, 1, dtype=torch.int64), 1, seed=seed, **kw)[:, 1]
        return torch.bincount(out, minlength=5).double() / 6000

    for kw in ({}, {"temp": 0.5}, {"temp": 3.0}, {"top_k": 1}, {"top_k": 3}, {"top_k": 100},
               {"top_k": 2, "temp": 3.0}):
        name = ", ".join(f"{k} = {v}" for k, v in kw.items()) or "temp = 1"
        yield say(f"{name}: the shares of five tokens in 6000 draws", f"{name}：6000 次抽取中五个 token 的比例"), (
            lambda: shares(**kw)), close(rtol=0, atol=0.05)

    def flat(seed):
        model = Writer(torch.zeros(6, 6), torch.zeros(6, 6))
        return generate(model, torch.zeros(2, 1, dtype=torch.int64), 30, seed=seed)

    yield say("equal logits, 30 tokens: more than 3 different ones?", "logits 相等，30 个 token：不同的超过 3 个吗？"), (
        lambda: len(flat(seed)[0].unique()) > 3)
    yield say("the same seed twice: the same text?", "同一种子两次：文本相同吗？"), (
        lambda: bool(torch.equal(flat(seed), flat(seed))))
    yield say("two seeds: different texts?", "两个种子：文本不同吗？"), (
        lambda: not torch.equal(flat(seed), flat(seed + 1)))
    yield say("is torch's global generator as it was?", "torch 的全局随机数发生器保持原样吗？"), (
        lambda: keeps_global_generator(lambda: flat(seed)))

    def afterwards(mode):
        model, given = Writer(W.clone(), U.clone()).train(mode), idx.clone()
        generate(model, given, 3, temp=0)
        return [model.training, given]

    for mode in (True, False):
        yield say(f"training = {mode} before: mode and idx afterwards", f"之前 training = {mode}：之后的模式与 idx"), (
            lambda: afterwards(mode))


check_generate.mistake(
    say("A small temperature should make the text more certain.", "温度低，文本应当更确定才对。"),
    within="generate", replace={"logits / temp": "logits * temp"})
check_generate.mistake(
    say("temp = 0 divides by zero. What is the limit?", "temp = 0 时除以了零。极限是什么？"),
    within="generate", replace={"if temp == 0:": "if False:"})
check_generate.mistake(
    say("top_k has no effect on what is drawn.", "top_k 对抽取没有影响。"),
    within="generate", replace={"if top_k is not None:": "if False:"})
check_generate.mistake(
    say("One token too few is left by top_k.", "top_k 留下的 token 少了一个。"),
    within="generate", replace={"logits < least": "(logits <= least) & (logits < logits.amax(-1, True))"})
check_generate.mistake(
    say("The model is given more tokens than it has positions.", "给模型的 token 比它的位置还多。"),
    within="generate", replace={"idx[:, -model.cfg.T :]": "idx"})
check_generate.mistake(
    say("The context loses its end instead of its beginning.", "上下文丢掉的是末尾，而不是开头。"),
    within="generate", replace={"idx[:, -model.cfg.T :]": "idx[:, : model.cfg.T]"})
check_generate.mistake(
    say("The generator starts anew for every token, so the draws repeat themselves.",
        "每个 token 都重新设定发生器，于是抽取的结果不断重复。"),
    within="generate", replace={"generator=generator)": "generator=generator.manual_seed(seed))"})
check_generate.mistake(
    say("Dropout is on while the model writes.", "模型写作时 dropout 还开着。"),
    within="generate", replace={"model.eval()": "pass"})
check_generate.mistake(
    say("A model that came in training mode leaves in evaluation mode.", "传入时处于训练模式的模型，出来时成了评估模式。"),
    within="generate", replace={"model.train(was_training)": "pass"})

EVEN = "the cosine is even"
SEEDS = "any seed will do that differs from step to step"
EQUIVALENT: dict[str, str] = {
    "learning_rate: u = (step - warmup) / (steps - warmup) -> "
    "u = -((step - warmup) / (steps - warmup))": EVEN,
    "learning_rate: step - warmup -> warmup - step": EVEN,
    "learning_rate: steps - warmup -> warmup - steps": EVEN,
    "fit: torch.optim.AdamW(adamw_groups(model, weight_decay), lr=lr, betas=(0.9, 0.99)) -> "
    "torch.optim.AdamW(adamw_groups(model, weight_decay), betas=(0.9, 0.99))":
        "every step sets its own rate",
    "train_gpt: 1000000 * seed + step -> 1000000 * seed - step": SEEDS,
    "train_gpt: 1000000 * seed -> 1000001 * seed": SEEDS,
    "generate: torch.Generator(device=idx.device) -> torch.Generator()": "the same on a CPU",
}
