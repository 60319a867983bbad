"""Checks of Day 23: what to observe of a Llama, its parameter counts and its published weights."""

import dataclasses

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ladder.checks import check, choice, exactly, raises, say

READY_MADE = ("torch.nn.RMSNorm", "torch.nn.functional", "torch.nn.MultiheadAttention",
              "torch.nn.TransformerEncoderLayer", "torch.nn.TransformerDecoderLayer",
              "torch.rms_norm", "torch.ops", "torch._C", "transformers")
SMALL = dict(vocab=11, d=24, L=2, h=4, h_kv=2, hidden=20, max_len=9)


def normal(rng, *shape, mean=0.0, std=1.0):
    return torch.tensor(rng.normal(mean, std, size=shape))


def block_values(rng, d, h, h_kv, hidden):
    """Weights of a block, by name: gains near 1, and matrices that make every part count."""
    kv = d // h * h_kv
    shapes = {"wq": (d, d), "wk": (kv, d), "wv": (kv, d), "wo": (d, d),
              "ffn.w1": (hidden, d), "ffn.w3": (hidden, d), "ffn.w2": (d, hidden)}
    values = {f"{name}.weight": normal(rng, *shape, std=1.5 * shape[1]**-0.5)
              for name, shape in shapes.items()}
    return values | {f"{name}.weight": normal(rng, d, mean=1, std=0.4)
                     for name in ("attn_norm", "ffn_norm")}


def model_values(rng, cfg):
    """Weights of a whole model, float32."""
    values = {"embed.weight": normal(rng, cfg.vocab, cfg.d),
              "norm.weight": normal(rng, cfg.d, mean=1, std=0.4),
              "head.weight": normal(rng, cfg.vocab, cfg.d, std=0.3)}
    for i in range(cfg.L):
        block = block_values(rng, cfg.d, cfg.h, cfg.h_kv, cfg.hidden)
        values |= {f"blocks.{i}.{name}": value for name, value in block.items()}
    if cfg.tied:
        values["head.weight"] = values["embed.weight"]
    return {name: value.float() for name, value in values.items()}


def holding(module, values, dtype=torch.float64):
    """``module`` with these weights."""
    module = module.to(dtype)
    module.load_state_dict(values)
    return module


def shapes(module):
    return sorted((name, list(tensor.shape)) for name, tensor in module.state_dict().items())


def turns(rng, T, pairs):
    """Cosines and sines for T tokens."""
    angles = normal(rng, T, pairs)
    return angles.cos(), angles.sin()


class Store:
    """A cache for the checks: it appends, and keeps the shapes of what came."""

    def __init__(self, k=None, v=None):
        self.k, self.v, self.came = k, v, []

    @property
    def length(self):
        return 0 if self.k is None else self.k.shape[2]

    def update(self, k, v):
        self.came.append([list(k.shape), list(v.shape)])
        self.k = k.clone() if self.k is None else torch.cat([self.k, k], dim=2)
        self.v = v.clone() if self.v is None else torch.cat([self.v, v], dim=2)
        return self.k, self.v


# ------------------------------------------------------------------------------------- the block


@check(forbids=READY_MADE)
def check_block(LlamaBlock, LlamaConfig, rng):
    """Members, and the output for a whole sequence."""
    cfg = LlamaConfig(**SMALL)
    values = block_values(rng, 24, 4, 2, 20)
    x, (cos, sin) = normal(rng, 2, 5, 24), turns(rng, 5, 3)

    def block(**other):
        return holding(LlamaBlock(dataclasses.replace(cfg, **other)), values)

    yield (say("names and shapes of the weights: d = 24, h = 4, h_kv = 2, hidden = 20",
               "各权重的名字与形状：d = 24，h = 4，h_kv = 2，hidden = 20"),
           lambda: shapes(LlamaBlock(cfg)))
    shut = {name: 0 * values[name] for name in ("wo.weight", "ffn.w2.weight")}
    yield (say("wo and w2 are 0", "wo 与 w2 为 0"),
           lambda: holding(LlamaBlock(cfg), values | shut)(x.clone(), cos, sin))
    yield (say("one token, w2 is 0: attention alone", "一个 token，w2 为 0：只有注意力"),
           lambda: holding(LlamaBlock(cfg), values | {"ffn.w2.weight": shut["ffn.w2.weight"]})(
               x[:, :1].clone(), cos[:1], sin[:1]))
    yield (say("five tokens, wo is 0: the feed-forward network alone",
               "五个 token，wo 为 0：只有前馈网络"),
           lambda: holding(LlamaBlock(cfg), values | {"wo.weight": shut["wo.weight"]})(
               x.clone(), cos, sin))
    yield (say("one token", "一个 token"), lambda: block()(x[:, :1].clone(), cos[:1], sin[:1]))
    still = torch.ones_like(cos), torch.zeros_like(sin)
    yield (say("five tokens, no rotation (cos = 1, sin = 0)", "五个 token，不旋转（cos = 1，sin = 0）"),
           lambda: block()(x.clone(), *still))
    yield say("five tokens, rotated", "五个 token，有旋转"), lambda: block()(x.clone(), cos, sin)
    yield say("eps = 0.5", "eps = 0.5"), lambda: block(eps=0.5)(x.clone(), cos, sin)
    for h_kv in (4, 1):
        other = block_values(rng, 24, 4, h_kv, 20)
        yield (say(f"h_kv = {h_kv}", f"h_kv = {h_kv}"),
               lambda: holding(LlamaBlock(dataclasses.replace(cfg, h_kv=h_kv)), other)(
                   x.clone(), cos, sin))
    w = normal(rng, 2, 5, 24)

    def gradients():
        module = block()
        (module(x.clone(), cos, sin) * w).sum().backward()
        return {name: p.grad for name, p in module.named_parameters()}

    yield say("gradients of the parameters", "各参数的梯度"), gradients

    def untouched():
        kept = x.clone()
        block()(kept, cos, sin)
        return kept

    yield say("x is as it was", "x 保持原样"), untouched
    for h, h_kv in ((5, 5), (4, 3)):
        yield (say(f"d = 24, h = {h}, h_kv = {h_kv}", f"d = 24，h = {h}，h_kv = {h_kv}"),
               lambda: LlamaBlock(dataclasses.replace(cfg, h=h, h_kv=h_kv)) and None,
               raises(ValueError))


check_block.mistake(
    say("The residual stream is normalised on its way past a sublayer. What exactly is added to x?",
        "残差流绕过子层时也被归一化了。加到 x 上的究竟是什么，x 本身又是什么？"),
    within="LlamaBlock.forward", replace={"a = x + self.wo": "a = u + self.wo"},
)
check_block.mistake(
    say("The second sublayer is normalised with the first one's gain.",
        "第二个子层用了第一个子层的增益来归一化。"),
    within="LlamaBlock.forward", replace={"self.ffn_norm(a)": "self.attn_norm(a)"},
)
check_block.mistake(
    say("Keys or queries are not rotated alike: apply_rope gives back two tensors.",
        "查询与键没有一起旋转：apply_rope 返回两个张量。"),
    within="LlamaBlock.forward",
    replace={"q, k = apply_rope(q, k, cos, sin)": "q, _ = apply_rope(q, k, cos, sin)"},
)
check_block.mistake(
    say("Tokens see the tokens after them.", "token 看到了排在它后面的 token。"),
    within="LlamaBlock.forward", replace={"gqa(q, k, v, self.h_kv, mask)": "gqa(q, k, v, self.h_kv)"},
)
check_block.mistake(
    say("eps is not the one of cfg: RMSNorm's own default is another number.",
        "eps 不是 cfg 里的那个：RMSNorm 自己的默认值是另一个数。"),
    within="LlamaBlock.__init__",
    replace={"self.attn_norm = RMSNorm(cfg.d, cfg.eps)": "self.attn_norm = RMSNorm(cfg.d)",
             "self.ffn_norm = RMSNorm(cfg.d, cfg.eps)": "self.ffn_norm = RMSNorm(cfg.d)"},
)
check_block.mistake(
    say("The values are rotated too. What would a position in the values do to the sum over tokens?",
        "值也被旋转了。值里若带有位置，对各 token 求和时会怎样？"),
    within="LlamaBlock.forward", replace={
        "q, k = apply_rope(q, k, cos, sin)":
        "q, k = apply_rope(q, k, cos, sin)\n        v, _ = apply_rope(v, k, cos, sin)"},
)


@check(forbids=READY_MADE)
def check_block_cache(LlamaBlock, LlamaConfig, rng):
    """The same sequence in pieces, and what the cache receives."""
    cfg = LlamaConfig(**SMALL)
    values = block_values(rng, 24, 4, 2, 20)
    x, (cos, sin) = normal(rng, 2, 6, 24), turns(rng, 6, 3)

    def run(*lengths, store=None, first=0):
        block, store = holding(LlamaBlock(cfg), values), store or Store()
        outputs, at = [], first
        with torch.no_grad():
            for n in lengths:
                rows = slice(at, at + n)
                outputs.append(block(x[:, rows].clone(), cos[rows], sin[rows], store))
                at += n
        return torch.cat(outputs, dim=1), store

    yield (say("six tokens at once into an empty cache: output", "六个 token 一次放进空缓存：输出"),
           lambda: run(6)[0])
    yield (say("the keys that the cache received", "缓存收到的键"), lambda: run(6)[1].k)
    yield (say("the values that it received", "缓存收到的值"), lambda: run(6)[1].v)
    yield (say("pieces of 3, 1 and 2 tokens: shapes given to update",
               "分成 3、1、2 个 token：传给 update 的形状"), lambda: run(3, 1, 2)[1].came)
    yield (say("pieces of 5 and 1 tokens: outputs", "分成 5 个和 1 个 token：各次输出"),
           lambda: run(5, 1)[0])
    yield (say("pieces of 2 and 4 tokens: outputs", "分成 2 个和 4 个 token：各次输出"),
           lambda: run(2, 4)[0])
    yield (say("pieces of 3, 1 and 2 tokens: outputs", "分成 3、1、2 个 token：各次输出"),
           lambda: run(3, 1, 2)[0])
    k, v = normal(rng, 2, 2, 4, 6), normal(rng, 2, 2, 4, 6)
    yield (say("two tokens after four others, which are in the cache: output",
               "缓存里已有另外四个 token，再来两个：输出"),
           lambda: run(2, store=Store(k.clone(), v.clone()), first=4)[0])


check_block_cache.mistake(
    say("In a later piece the mask starts again at the first key. Which position has query 0 there?",
        "在后面的片段里，掩码又从第一个键数起。那里的查询 0 位于哪个位置？"),
    within="LlamaBlock.forward", replace={
        "cached_mask(q.shape[2], k.shape[2])":
        "torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()"},
)
check_block_cache.mistake(
    say("Whole pieces may attend to everything, later tokens of their own piece included.",
        "整个片段可以看到一切，包括本片段中排在后面的 token。"),
    within="LlamaBlock.forward", replace={"gqa(q, k, v, self.h_kv, mask)": "gqa(q, k, v, self.h_kv)"},
)
check_block_cache.mistake(
    say("The keys go into the cache before their rotation. At which position would they be turned "
        "later, and by whom?",
        "键在旋转之前就进了缓存。以后该由谁、按哪个位置来转它们？"),
    within="LlamaBlock.forward", replace={
        "q, k = apply_rope(q, k, cos, sin)\n        if cache is not None:\n            k, v = cache.update(k, v)":
        "raw = k\n        q, k = apply_rope(q, k, cos, sin)\n        if cache is not None:\n"
        "            k, v = cache.update(raw, v)"},
)
check_block_cache.mistake(
    say("The tokens are stored, and then only the new keys are used: what does update return?",
        "token 存进去了，可随后用的只有新的键：update 返回的是什么？"),
    within="LlamaBlock.forward", replace={"k, v = cache.update(k, v)": "cache.update(k, v)"},
)


# ------------------------------------------------------------------------------------- the model


@check(forbids=READY_MADE)
def check_llama(Llama, LlamaConfig, rng):
    """Names, the start, and logits for given weights."""
    cfg = LlamaConfig(**SMALL)
    values = model_values(rng, cfg)
    idx = torch.tensor(rng.integers(11, size=(2, 7)))

    def logits(ids, **other):
        return holding(Llama(dataclasses.replace(cfg, **other)), values, torch.float32)(ids.clone())

    yield (say("names and shapes of the weights, two blocks", "各权重的名字与形状，两个 Block"),
           lambda: shapes(Llama(cfg)))
    tied = dataclasses.replace(cfg, tied=True)
    yield (say("the same if tied", "tied 时的同一内容"), lambda: shapes(Llama(tied)))
    yield (say("how many entries the parameters have: not tied, tied",
               "参数的元素总数：不共享与共享"),
           lambda: [sum(p.numel() for p in Llama(c).parameters()) for c in (cfg, tied)])
    yield say("model.cfg", "model.cfg"), lambda: dataclasses.asdict(Llama(tied).cfg)
    wide = dataclasses.replace(cfg, vocab=40, d=64, hidden=48)

    def start(c):
        """Standard deviations in steps of 0.02, so that chance does not show."""
        return {name: round(float(p.detach().std()) / 0.02) if p.ndim == 2 else p.detach()
                for name, p in Llama(c).named_parameters()}

    yield (say("the start: standard deviations in units of 0.02, and the gains",
               "初值：以 0.02 为单位的标准差，以及增益"), lambda: start(wide))
    yield (say("the start if tied", "tied 时的初值"),
           lambda: start(dataclasses.replace(wide, tied=True)))
    yield say("one token: logits", "一个 token：logits"), lambda: logits(idx[:1, :1])
    yield say("two sequences of seven tokens: logits", "两条各七个 token 的序列：logits"), lambda: logits(idx)
    yield (say("one block", "一个 Block"),
           lambda: holding(Llama(dataclasses.replace(cfg, L=1)), {
               name: value for name, value in values.items()
               if not name.startswith("blocks.1")}, torch.float32)(idx.clone()))
    shared = values | {"head.weight": values["embed.weight"]}
    yield (say("tied: logits", "tied：logits"),
           lambda: holding(Llama(tied), shared, torch.float32)(idx.clone()))
    yield say("rope_base = 20", "rope_base = 20"), lambda: logits(idx, rope_base=20.0)
    yield say("eps = 0.5", "eps = 0.5"), lambda: logits(idx, eps=0.5)
    full = torch.tensor(rng.integers(11, size=(1, 9)))
    yield say("nine tokens for max_len = 9", "max_len = 9 时的九个 token"), lambda: logits(full)
    yield (say("ten tokens for max_len = 9", "max_len = 9 时的十个 token"),
           lambda: logits(torch.cat([full, full[:, :1]], dim=1)), raises(ValueError))


check_llama.mistake(
    say("Pre-norm blocks leave the stream unnormalised: what stands between the last one and the head?",
        "Pre-Norm 的 Block 不会归一化残差流本身：最后一个 Block 与输出头之间还有什么？"),
    within="Llama.forward", replace={"self.head(self.norm(x))": "self.head(x)"},
)
check_llama.mistake(
    say("The head has the embedding's values at best once, not its parameter: look at the count.",
        "输出头充其量只是曾经与嵌入数值相同，并不是同一个参数：看看参数个数。"),
    within="Llama.__init__", replace={
        "self.head.weight = self.embed.weight": "self.head.weight.data = self.embed.weight.data.clone()"},
)
check_llama.mistake(
    say("The head is the embedding in every model; cfg.tied decides.",
        "每个模型的输出头都成了嵌入；这应由 cfg.tied 决定。"),
    within="Llama.__init__", replace={"if cfg.tied:": "if True:"},
)
check_llama.mistake(
    say("RoPE's base does not come from cfg.", "RoPE 的 base 没有取自 cfg。"),
    within="Llama.forward", replace={", cfg.rope_base)": ")"},
)
check_llama.mistake(
    say("The matrices start as PyTorch's layers do by themselves. Print the standard deviation of embed.",
        "矩阵的初值还是 PyTorch 各层自带的。打印一下 embed 的标准差。"),
    within="Llama.__init__", replace={"if p.ndim == 2:": "if False:"},
)
check_llama.mistake(
    say("The context has a length that nobody checks, or the check is off by one.",
        "上下文长度没有检查，或者检查差了一位。"),
    within="Llama.forward", replace={"if end > cfg.max_len:": "if end > cfg.max_len + 1:"},
)


@check(forbids=READY_MADE)
def check_llama_cache(Llama, LlamaConfig, rng):
    """Logits in pieces, with a cache for each block."""
    cfg = LlamaConfig(**SMALL, rope_base=50.0)
    values = model_values(rng, cfg)
    idx = torch.tensor(rng.integers(11, size=(2, 8)))

    def run(*lengths):
        model, caches = holding(Llama(cfg), values, torch.float32), [Store() for _ in range(cfg.L)]
        outputs, at = [], 0
        with torch.no_grad():
            for n in lengths:
                outputs.append(model(idx[:, at : at + n].clone(), caches=caches, start=at))
                at += n
        return torch.cat(outputs, dim=1), caches

    yield say("eight tokens at once, with caches", "八个 token 一次输入，带缓存"), lambda: run(8)[0]
    yield (say("then the keys of each block", "此后各 Block 的键"),
           lambda: [cache.k for cache in run(8)[1]])
    yield (say("five tokens, then one: how many tokens each cache holds",
               "先五个 token，再一个：每个缓存里有多少 token"),
           lambda: [cache.length for cache in run(5, 1)[1]])
    yield (say("five tokens, then one by one: logits", "先五个 token，再逐个输入：logits"),
           lambda: run(5, 1, 1, 1)[0])
    yield (say("then the keys of the first block", "此后第一个 Block 的键"),
           lambda: run(5, 1, 1, 1)[1][0].k)
    yield say("pieces of 2, 3 and 3 tokens", "分成 2、3、3 个 token"), lambda: run(2, 3, 3)[0]

    def beyond():
        model, caches = holding(Llama(cfg), values, torch.float32), [Store() for _ in range(cfg.L)]
        with torch.no_grad():
            model(idx.clone(), caches, 0)
            try:
                model(idx[:, :2].clone(), caches, 8)
            except ValueError:
                return ["ValueError", *(cache.length for cache in caches)]
            return ["no error", *(cache.length for cache in caches)]

    yield (say("two tokens at positions 8 and 9 of 9: the error, and the caches after it",
               "max_len = 9，位置 8 与 9 的两个 token：错误，以及之后的缓存"), beyond)


check_llama_cache.mistake(
    say("Every piece is turned as if it stood at position 0.", "每个片段都按位于位置 0 来旋转。"),
    within="Llama.forward", replace={"table[start:]": "table[: idx.shape[1]]"},
)
check_llama_cache.mistake(
    say("All blocks write into one and the same cache.", "所有 Block 都写进同一个缓存。"),
    within="Llama.forward", replace={"else caches[i]": "else caches[0]"},
)
check_llama_cache.mistake(
    say("The caches do not reach the blocks.", "缓存没有传到各个 Block。"),
    within="Llama.forward", replace={"None if caches is None else caches[i]": "None"},
)
check_llama_cache.mistake(
    say("Only the new tokens are counted against the context; those in the caches count too.",
        "只有新 token 计入了上下文长度；缓存里的也要算。"),
    within="Llama.forward", replace={"if end > cfg.max_len:": "if idx.shape[1] > cfg.max_len:"},
)


# ----------------------------------------------------------------------- published configurations

LLAMA2 = dict(vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
              num_attention_heads=32)
LLAMA3 = LLAMA2 | dict(vocab_size=128256, intermediate_size=14336, num_key_value_heads=8,
                       max_position_embeddings=8192, rope_theta=500000.0, rms_norm_eps=1e-5)


@check()
def check_read_config(read_config, rng):
    """Keys, defaults, and models that Llama cannot compute."""
    d, h = 8 * int(rng.integers(3, 9)), 4
    plain = dict(vocab_size=int(rng.integers(50, 99)), hidden_size=d, num_hidden_layers=5,
                 num_attention_heads=h, intermediate_size=int(rng.integers(100, 200)))

    def read(**more):
        return dataclasses.asdict(read_config(plain | more))

    yield (say("every key is there", "所有键都在"),
           lambda: read(num_key_value_heads=2, max_position_embeddings=77, rope_theta=500.0,
                        rms_norm_eps=0.25, tie_word_embeddings=True))
    yield say("only the keys that are always there", "只有必有的键"), lambda: read()
    yield (say("num_key_value_heads is None", "num_key_value_heads 为 None"),
           lambda: read(num_key_value_heads=None)["h_kv"])
    yield (say("keys that change nothing", "不起作用的键"),
           lambda: read(model_type="llama", hidden_act="silu", attention_bias=False, mlp_bias=False,
                        rope_scaling=None, head_dim=d // h, torch_dtype="bfloat16"))
    yield say("head_dim is None", "head_dim 为 None"), lambda: read(head_dim=None)["d"]
    for name, value in (("hidden_act", "gelu"), ("attention_bias", True), ("mlp_bias", True),
                        ("rope_scaling", {"type": "linear", "factor": 2.0}), ("head_dim", d)):
        yield (say(f"{name} = {value!r}", f"{name} = {value!r}"), lambda: read(**{name: value}),
               raises(ValueError))

    def untouched():
        given = dict(plain)
        read_config(given)
        return sorted(given.items())

    yield say("the dict is as it was", "字典保持原样"), untouched


check_read_config.mistake(
    say("A config without num_key_value_heads is older than GQA. How many kv heads had models then?",
        "没有 num_key_value_heads 的配置早于 GQA。那时的模型有几个 kv 头？"),
    within="read_config", replace={"h_kv=h if h_kv is None else h_kv": "h_kv=1 if h_kv is None else h_kv"},
)
check_read_config.mistake(
    say("Where rms_norm_eps is missing, LlamaConfig's default is not the one. The docstring names all "
        "defaults.",
        "缺少 rms_norm_eps 时，用的不是 LlamaConfig 的默认值。docstring 里写明了各默认值。"),
    within="read_config", replace={'"rms_norm_eps", 1e-6': '"rms_norm_eps", 1e-5'},
)
check_read_config.mistake(
    say("A model with another activation, biases or stretched RoPE is accepted, and computed wrongly.",
        "使用别的激活函数、带偏置或拉伸过 RoPE 的模型也被接受了，而且会算错。"),
    within="read_config", replace={"if not known:": "if False:"},
)
check_read_config.mistake(
    say("Hidden units and channels have changed places. Which of the two is larger in Llama 2 7B?",
        "隐藏单元数与通道数弄反了。Llama 2 7B 中哪个更大？"),
    within="read_config", replace={"d=d,": 'd=published["intermediate_size"],',
                                   'hidden=published["intermediate_size"]': "hidden=d"},
)


class Allocated(TorchDispatchMode):
    """How many entries of real memory the largest new tensor has."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(t, torch.Tensor) and t.device.type != "meta":
                self.largest = max(self.largest, t.numel())
        return out


@check()
def check_count_params(count_params, LlamaConfig, rng):
    """Small models, memory, then published ones."""
    hidden, vocab = int(rng.integers(20, 60)), int(rng.integers(20, 60))
    for h_kv, tied, L in ((4, False, 1), (2, False, 3), (1, True, 2)):
        cfg = LlamaConfig(vocab, 24, L, 4, h_kv, hidden, 16, tied=tied)
        yield (say(f"{L} blocks, h_kv = {h_kv}, tied = {tied}", f"{L} 个 Block，h_kv = {h_kv}，tied = {tied}"),
               lambda: count_params(cfg), exactly())
    middle = LlamaConfig(3000, 64, 1, 4, 2, 128, 16)
    yield say("is it a Python int?", "是 Python 的 int 吗？"), lambda: type(count_params(middle)) is int

    largest = []  # once measured: what the model below takes at most in one tensor

    def frugal():
        with Allocated() as seen:
            count_params(middle)
        largest.append(seen.largest)
        return seen.largest < 10_000

    yield (say("a model with an embedding of 192,000 entries: takes no such memory",
               "嵌入有 192,000 个元素的模型：不占用这样的内存"), frugal)

    def large():
        if not largest:
            frugal()  # raises again what it raised above
        if largest[0] >= 10_000:
            raise MemoryError("not run, since the model above took real memory; this takes 7 GB")
        return count_params(LlamaConfig(128256, 4096, 3, 32, 8, 14336, 8192, 500000.0))

    yield (say("Llama 3 8B with 3 of its 32 blocks", "Llama 3 8B，只取 32 个 Block 中的 3 个"),
           large, exactly())


check_count_params.mistake(
    say("Real memory is taken: on which device were the tensors made?",
        "占用了真实内存：张量是在哪个设备上创建的？"),
    within="count_params", replace={'torch.device("meta")': 'torch.device("cpu")'},
)
check_count_params.mistake(
    say("A tied matrix is one parameter with two names, and counts once.",
        "共享的矩阵是一个参数、两个名字，只计一次。"),
    within="count_params", replace={
        "p.numel() for p in model.parameters()": "p.numel() for p in model.state_dict().values()"},
)
check_count_params.mistake(
    say("Tensors are counted, not their entries.", "数的是张量的个数，不是元素的个数。"),
    within="count_params", replace={"sum(p.numel() for": "sum(1 for"},
)


@check()
def check_param_budget(param_budget, LlamaConfig, rng):
    """Five numbers from the sizes."""
    hidden, vocab = int(rng.integers(20, 60)), int(rng.integers(20, 60))
    for h_kv, tied, L in ((4, False, 1), (2, False, 3), (1, True, 2)):
        cfg = LlamaConfig(vocab, 24, L, 4, h_kv, hidden, 16, tied=tied)
        for part in ("embed", "attention", "ffn", "norm", "head"):
            yield (say(f"{part}: {L} blocks, h_kv = {h_kv}, tied = {tied}",
                       f"{part}：{L} 个 Block，h_kv = {h_kv}，tied = {tied}"),
                   lambda: param_budget(cfg)[part], exactly())
    large = LlamaConfig(128256, 4096, 32, 32, 8, 14336, 8192)
    yield say("Llama 3 8B", "Llama 3 8B"), lambda: dict(param_budget(large)), exactly()
    yield (say("are all of them ints?", "都是 int 吗？"),
           lambda: [type(n) is int for n in param_budget(large).values()])


check_param_budget.mistake(
    say("Keys and values have fewer heads than queries: what are the shapes of wk and wv?",
        "键和值的头比查询少：wk 与 wv 的形状是什么？"),
    within="param_budget", replace={"2 * cfg.d * kv)": "2 * cfg.d * cfg.d)"},
)
check_param_budget.mistake(
    say("A gated feed-forward network has one matrix more than Day 12's.",
        "门控的前馈网络比第 12 天的多一个矩阵。"),
    within="param_budget", replace={"cfg.L * 3 *": "cfg.L * 2 *"},
)
check_param_budget.mistake(
    say("One RMSNorm is not in any block.", "有一个 RMSNorm 不属于任何 Block。"),
    within="param_budget", replace={"(2 * cfg.L + 1)": "(2 * cfg.L)"},
)
check_param_budget.mistake(
    say("A tied head adds nothing.", "共享的输出头不增加任何参数。"),
    within="param_budget", replace={"0 if cfg.tied else cfg.vocab * cfg.d": "cfg.vocab * cfg.d"},
)


# ------------------------------------------------------------------------------- published weights


@check()
def check_pair_rows(pair_rows, rng):
    """From one half and the other to pairs next to each other."""
    rows = torch.arange(6.0)[:, None].double()
    yield say("one head of 6 rows, numbered 0 to 5", "一个头，6 行，编号 0 到 5"), lambda: pair_rows(rows.clone(), 1), exactly()
    for heads, n, c in ((1, 8, 3), (2, 6, 5), (3, 10, 1), (4, 2, 7)):
        W = normal(rng, heads * n, c)
        yield (say(f"{heads} heads of {n} channels", f"{heads} 个头，各 {n} 个通道"),
               lambda: pair_rows(W.clone(), heads), exactly())
    W = normal(rng, 12, 4)
    yield (say("dtype for bfloat16", "输入为 bfloat16 时的 dtype"),
           lambda: str(pair_rows(W.bfloat16(), 2).dtype))

    def untouched():
        kept = W.clone()
        pair_rows(kept, 2)
        return kept

    yield say("W is as it was", "W 保持原样"), untouched, exactly()


check_pair_rows.mistake(
    say("That is the way back, from pairs to halves. Where does row 1 go?",
        "这是反方向，从相邻成对变为前后两半。第 1 行应当去哪里？"),
    within="pair_rows", replace={"(heads, 2, -1)": "(heads, -1, 2)"},
)
check_pair_rows.mistake(
    say("The halves are those of all rows together. Each head has two halves of its own.",
        "你取的是全部行的前后两半。每个头各有自己的两半。"),
    within="pair_rows", replace={"(heads, 2, -1)": "(1, 2, -1)"},
)
check_pair_rows.mistake(
    say("Nothing has moved.", "什么都没有移动。"),
    within="pair_rows", replace={"transpose(1, 2)": "transpose(1, 1)"},
)


def published(rng, cfg):
    """A state dict with transformers' names, in random order."""
    d, kv = cfg.d, cfg.d // cfg.h * cfg.h_kv
    shapes = {"input_layernorm": (d,), "self_attn.q_proj": (d, d), "self_attn.k_proj": (kv, d),
              "self_attn.v_proj": (kv, d), "self_attn.o_proj": (d, d),
              "post_attention_layernorm": (d,), "mlp.gate_proj": (cfg.hidden, d),
              "mlp.up_proj": (cfg.hidden, d), "mlp.down_proj": (d, cfg.hidden)}
    all_shapes = {"model.embed_tokens": (cfg.vocab, d), "model.norm": (d,),
                  "lm_head": (cfg.vocab, d)}
    for i in range(cfg.L):
        all_shapes |= {f"model.layers.{i}.{name}": shape for name, shape in shapes.items()}
    names = list(all_shapes)
    rng.shuffle(names)
    return {f"{name}.weight": normal(rng, *all_shapes[name]) for name in names}


@check()
def check_load_reference(load_reference, LlamaConfig, rng):
    """Every weight under its new name, and what is refused."""
    cfg = LlamaConfig(7, 24, 2, 4, 2, 9, 16)
    tied = dataclasses.replace(cfg, tied=True)
    theirs = published(rng, cfg)
    without_head = {name: t for name, t in theirs.items() if not name.startswith("lm_head")}

    def load(state=None, c=cfg):
        return load_reference(dict(theirs if state is None else state), c)

    yield say("the names, two blocks", "名字，两个 Block"), lambda: sorted(load())
    for name in ("embed", "norm", "head", "blocks.0.attn_norm", "blocks.1.ffn_norm"):
        yield say(name, name), lambda: load()[f"{name}.weight"], exactly()
    for name in ("wv", "wo", "wq", "wk", "ffn.w1", "ffn.w3", "ffn.w2"):
        yield (say(f"blocks.1.{name}", f"blocks.1.{name}"),
               lambda: load()[f"blocks.1.{name}.weight"], exactly())
    for label, state in ((say("without lm_head", "没有 lm_head"), without_head),
                         (say("with an lm_head of its own", "另有 lm_head"), theirs)):
        yield (say(f"tied, {label.en}: names and the head", f"tied，{label.zh}：名字与 head"),
               lambda: [sorted(load(state, tied)), load(state, tied)["head.weight"]], exactly())
    many = LlamaConfig(3, 4, 12, 2, 1, 3, 8)
    deep = published(rng, many)
    yield (say("twelve blocks: the sums of wo of blocks 1, 10 and 11",
               "十二个 Block：第 1、10、11 个 Block 的 wo 之和"),
           lambda: [float(load(deep, many)[f"blocks.{i}.wo.weight"].sum()) for i in (1, 10, 11)])
    yield (say("dtypes for bfloat16", "输入为 bfloat16 时的各 dtype"),
           lambda: sorted({str(t.dtype) for t in load(
               {name: t.bfloat16() for name, t in theirs.items()}).values()}))
    buffers = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(3) for i in range(2)}
    yield (say("with rotary_emb.inv_freq: the names", "含 rotary_emb.inv_freq：名字"),
           lambda: sorted(load(theirs | buffers)))
    for label, state, c in (
        (say("lm_head is missing, not tied", "缺少 lm_head，且不共享"), without_head, cfg),
        (say("a weight of block 1 is missing", "缺少 Block 1 的一个权重"),
         {n: t for n, t in theirs.items() if n != "model.layers.1.mlp.up_proj.weight"}, cfg),
        (say("the embedding is missing, tied", "缺少嵌入，共享"),
         {n: t for n, t in theirs.items() if "embed" not in n}, tied),
        (say("a bias of q_proj is there", "多了 q_proj 的偏置"),
         theirs | {"model.layers.0.self_attn.q_proj.bias": torch.ones(24)}, cfg),
        (say("a block too many", "多了一个 Block"), theirs, dataclasses.replace(cfg, L=1)),
    ):
        yield label, lambda: sorted(load(state, c)), raises(ValueError)

    def untouched():
        given = {name: t.clone() for name, t in theirs.items()}
        load_reference(given, cfg)
        return [sorted(given), given["model.layers.0.self_attn.k_proj.weight"]]

    yield say("the given state dict is as it was", "所给的 state dict 保持原样"), untouched, exactly()


check_load_reference.mistake(
    say("The rows of q and k are those of transformers: the right names, the wrong pairs.",
        "q 与 k 的行还是 transformers 的次序：名字对了，配对不对。"),
    within="load_reference", replace={"if kind in heads else": "if False else"},
)
check_load_reference.mistake(
    say("k has fewer heads than q. How many rows has one head of k?",
        "k 的头比 q 少。k 的一个头有几行？"),
    within="load_reference", replace={'"k_proj": cfg.h_kv': '"k_proj": cfg.h'},
)
check_load_reference.mistake(
    say("v is permuted as well. Which vectors does RoPE turn?", "v 的行也被换了。RoPE 转动的是哪些向量？"),
    within="load_reference", replace={'"k_proj": cfg.h_kv}': '"k_proj": cfg.h_kv, "v_proj": cfg.h_kv}'},
)
check_load_reference.mistake(
    say("Gate and values of SwiGLU have changed places. Which of them passes through SiLU?",
        "SwiGLU 的门与值弄反了。经过 SiLU 的是哪一个？"),
    within="load_reference", replace={'"mlp.gate_proj": "ffn.w1", "mlp.up_proj": "ffn.w3"':
                                      '"mlp.gate_proj": "ffn.w3", "mlp.up_proj": "ffn.w1"'},
)
check_load_reference.mistake(
    say("The two norms of a block are confused: post_attention_layernorm stands after the attention, "
        "so before what?",
        "一个 Block 的两个归一化弄混了：post_attention_layernorm 在注意力之后，也就是在什么之前？"),
    within="load_reference", replace={
        '"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"':
        '"input_layernorm": "ffn_norm", "post_attention_layernorm": "attn_norm"'},
)
check_load_reference.mistake(
    say("What has no place in our model is passed over in silence, and what is missing stays random.",
        "我们的模型里没有位置的权重被悄悄丢掉，缺少的则保持随机。"),
    within="load_reference", replace={
        "if given.keys() != names.keys():": "given = {n: t for n, t in given.items() if n in names}\n    if False:"},
)
check_load_reference.mistake(
    say("A tied head is the embedding, also where the file brings an lm_head.",
        "共享的输出头就是嵌入，即使文件里另有 lm_head。"),
    within="load_reference", replace={'given["lm_head"] = given': 'given.setdefault("lm_head", given',
                                      '"model.embed_tokens"]\n    if given': '"model.embed_tokens"])\n    if given'},
)


# -------------------------------------------------------------------------------------- the quiz


@check()
def check_llama_quiz(llama_quiz, rng):
    """Three papers: LLaMA, Llama 2, Llama 3."""
    for i in range(1, 7):
        yield (say(f"question {i}", f"第 {i} 题"),
               lambda: str(llama_quiz()[f"q{i}"]).strip().lower(), choice())


def confusion(question, right, wrong, hint):
    """A known mistake: this wrong letter for ``question``."""
    check_llama_quiz.mistake(hint, within="llama_quiz", replace={
        f'"{question}": "{right}"': f'"{question}": "{wrong}"',
    })


confusion("q1", "c", "a", say(
    "Question 1: more training than Chinchilla's rule is not needed for the lowest training cost. "
    "Reread section 1 of LLaMA.",
    "第 1 题：若只求训练成本最低，并不需要比 Chinchilla 法则更多的训练。再读 LLaMA 第 1 节。"))
confusion("q2", "b", "a", say(
    "Question 2: count the matrices of a gated network, then compare weights (LLaMA, section 2.2; Day 20).",
    "第 2 题：数一数门控网络有几个矩阵，再比较权重数（LLaMA 2.2 节；第 20 天）。"))
confusion("q3", "d", "a", say(
    "Question 3: not every size of Llama 2 has GQA. Look at table 1.",
    "第 3 题：并非每种大小的 Llama 2 都有 GQA。看表 1。"))
confusion("q4", "a", "c", say(
    "Question 4: the answer is about machines, not about quality alone (Llama 2, appendix A.2.1).",
    "第 4 题：答案与机器有关，不只是质量（Llama 2 附录 A.2.1）。"))
confusion("q5", "c", "b", say(
    "Question 5: put two bases into θ_i = base^(−2i/d) and look at the last pair.",
    "第 5 题：把两个 base 代入 θ_i = base^(−2i/d)，看最后一对。"))
confusion("q6", "b", "d", say(
    "Question 6: the mask of section 3.2 is about what stands beside a text in the same sequence.",
    "第 6 题：3.2 节的掩码针对的是同一序列中与某段文本相邻的内容。"))

EQUIVALENT: dict[str, str] = {
    "Llama.forward: cfg.d // cfg.h -> cfg.d / cfg.h":
        "LlamaBlock has refused sizes where the quotient is not whole",
    "read_config: d // h -> d / h":
        "equal where h divides d, and LlamaBlock refuses the config where it does not",
    "pair_rows: W.unflatten(0, (heads, 2, -1)).transpose(1, 2) -> "
    "W.unflatten(0, (heads, 2, -1)).transpose(2, 1)": "which axis is named first does not matter",
}
