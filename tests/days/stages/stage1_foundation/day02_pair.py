# %% [markdown] lang="en"
r"""
# Means and pairs
$a < b$ and **bold**.
"""
# %% [markdown] lang="zh"
r"""
# 均值与成对
$a < b$ 与**粗体**。
"""
# %% setup
import numpy as np
# %% exercise="mean"
from ladder.solutions.stage1_foundation.day02_pair import row_mean
# %% [markdown] lang="zh" docstring="row_mean"
r"""``A`` 每一行的均值，形状 (rows,)。"""
# %%
from ladder.graders.stage1_foundation.day02_pair import check_row_mean
check_row_mean(row_mean)
# %%
from ladder.earlier.day01_line import line
line(1.0, 2.0, 3.0)
# %% exercise="pair"
from ladder.solutions.stage1_foundation.day02_pair import Pair
# %%
from ladder.graders.stage1_foundation.day02_pair import check_norm
check_norm(Pair)
# %% exercise="pair_add"
from ladder.solutions.stage1_foundation.day02_pair import Pair
# %%
from ladder.graders.stage1_foundation.day02_pair import check_add
check_add(Pair)
# %% exercise="far"
from ladder.solutions.stage1_foundation.day02_pair import far
# %%
from ladder.graders.stage1_foundation.day02_pair import check_far
check_far(far)
# %% [markdown] written="why" lang="en"
r"""Why is the length of a pair never negative? *(your answer)*"""
# %% [markdown] written="why" lang="zh"
r"""为什么长度不会是负数？*（你的回答）*"""
