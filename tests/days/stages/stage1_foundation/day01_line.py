# %% [markdown] lang="en"
r"""# A line"""
# %% [markdown] lang="zh"
r"""# 一条直线"""
# %% setup
import numpy as np
# %% exercise="line"
from ladder.solutions.stage1_foundation.day01_line import line
# %%
from ladder.graders.stage1_foundation.day01_line import check_line
check_line(line)
