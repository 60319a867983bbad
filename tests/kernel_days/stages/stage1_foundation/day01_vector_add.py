# %% [markdown] lang="en"
r"""# Vector addition"""
# %% [markdown] lang="zh"
r"""# 向量加法"""
# %% setup
import torch

from ladder.triton import tl, triton
# %% exercise="add"
from ladder.solutions.stage1_foundation.day01_vector_add import add_kernel
# %%
from ladder.graders.stage1_foundation.day01_vector_add import check_add
check_add(add_kernel)
# %%
from ladder.graders.stage1_foundation.day01_vector_add import check_add_compiled
check_add_compiled(add_kernel)
