"""Begin a new day: writes the four sources of DAY and prints the entry for curriculum.yaml.

DAY is the slug of a planned day (see `ladder list --all`), or a new one such as
day111_speculative_decoding with --stage.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ladder.curriculum import load_curriculum
from ladder.errors import ContentError, WorkError
from ladder.paths import content_root
from ladder.text import say

SOLUTION = '''"""{title}: the reference. Say here what it follows, and what it leaves out."""

import numpy as np
from jaxtyping import Float


def double(x: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Twice ``x``, as a new array of the same shape and dtype.

    The docstring is the task: what holds of the result, with shapes, dtypes, errors and the
    equation's source; never how.
    """
    return 2 * x
'''

GRADER = '''"""Checks of {title}: what to observe."""

from ladder.checks import check, say


@check()
def check_double(double, rng):
    """Every entry doubled, the input left alone."""
    x = rng.normal(size=5)
    yield say("five random numbers", "五个随机数"), lambda: double(x.copy())
    y = rng.normal(size=3)
    kept = y.copy()
    yield say("the input afterwards", "调用之后的输入"), lambda: (double(kept), kept)[1]


check_double.mistake(
    say("What is 2 doubled, and what is 3 doubled?", "2 的两倍是多少？3 的两倍呢？"),
    within="double", replace={{"2 * x": "x * x"}},
)
check_double.mistake(
    say("Doubling and adding two agree for one number only.", "「乘以二」与「加二」只对一个数相同。"),
    within="double", replace={{"2 * x": "x + 2"}},
)


@check_double.mistake(say("The caller's array has changed.", "调用者的数组被改动了。"))
def double(x):
    x *= 2
    return x


EQUIVALENT: dict[str, str] = {{}}
'''

LESSON = '''# %% [markdown] lang="en"
r"""
# {title}

**Goal.** Say what the learner can do at the end.

$$y = 2x$$
"""
# %% [markdown] lang="zh"
r"""
# {title_zh}

**目标。** 说明学完之后能做什么。

$$y = 2x$$
"""
# %% setup
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
# %% exercise="double"
from ladder.solutions.{stage}.{slug} import double
# %% [markdown] lang="zh" docstring="double"
r"""``x`` 的两倍：形状与 dtype 相同的新数组。

docstring 就是题目：说明结果满足什么（形状、dtype、错误、公式出处），不说怎么做。"""
# %% [markdown] hint="double" lang="en"
r"""A first, gentle hint."""
# %% [markdown] hint="double" lang="zh"
r"""第一条提示，点到为止。"""
# %% [markdown] hint="double" lang="en"
r"""A second, stronger hint, still not the answer."""
# %% [markdown] hint="double" lang="zh"
r"""第二条提示，更具体，但仍不是答案。"""
# %%
from ladder.graders.{stage}.{slug} import check_double

check_double(double)
# %%
fig, ax = plt.subplots(figsize=(4, 3))
ax.plot(np.arange(5), double(np.arange(5.0)), "o-")
ax.set(xlabel="x", ylabel="double(x)")
plt.show()
'''

INDEPENDENT = '''"""A second, independent implementation of {slug}; it must pass every check."""


def double(x):
    return x + x
'''

ENTRY = '''    exercises:
    - id: double
      title: {en: "Doubling", zh: "加倍"}
      names: [double]
      checks: {check_double: 2}'''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("day", metavar="DAY")
    parser.add_argument("--stage", help="for a day that curriculum.yaml does not list yet")


def run(args: argparse.Namespace) -> int:
    curriculum = load_curriculum()
    title = title_zh = args.day
    stage = args.stage
    try:
        day = curriculum.day(args.day)
        args.day, stage = day.id, curriculum.stage_of(day).id
        title, title_zh = day.title.en, day.title.zh
    except ContentError:
        if stage is None:
            raise
    if not re.fullmatch(r"day\d{2,3}_[a-z0-9_]+", args.day):
        raise ContentError(f"{args.day!r} is not a slug such as day111_speculative_decoding")
    words = {"slug": args.day, "stage": stage, "title": title, "title_zh": title_zh}
    files = {
        f"solutions/{stage}/{args.day}.py": SOLUTION.format(**words),
        f"graders/{stage}/{args.day}.py": GRADER.format(**words),
        f"stages/{stage}/{args.day}.py": LESSON.format(**words),
        f"tests/independent/{stage}/{args.day}.py": INDEPENDENT.format(**words),
    }
    root = content_root()
    there = [name for name in files if (root / name).exists()]
    if there:
        raise WorkError(f"{', '.join(there)} exists; nothing was written")
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        package = path.parent / "__init__.py"
        if name.startswith(("solutions", "graders")) and not package.exists():
            package.write_text(f'"""{stage}."""\n', encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        print(Path(name))
    print("\n" + say(
        f"Put this under {args.day} in curriculum.yaml, then `ladder build {args.day}` and "
        f"`ladder verify {args.day}`:", f"把下面的内容加到 curriculum.yaml 的 {args.day} 之下，然后运行 "
        f"`ladder build {args.day}` 与 `ladder verify {args.day}`：").in_(args.language))
    print(ENTRY)
    return 0
