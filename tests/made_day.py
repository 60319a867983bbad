"""A made-up day as its four sources, in a folder laid out like the repository."""

from __future__ import annotations

from pathlib import Path

import yaml

from ladder import content, curriculum

STAGE, SLUG = "stage1_foundation", "day01_made"

SOLUTION = '''"""The reference."""

import numpy as np


def double(x):
    """Twice ``x``."""
    return x * 2.0 + np.zeros_like(x, dtype=float)


class Pair:
    """Two numbers."""

    def __init__(self, a, b):
        """Keep both."""
        self.first_number, self.second_number = a, b

    def total(self):
        """Their sum."""
        return self.first_number + self.second_number
'''

LESSON = '''# %% [markdown] lang="en"
r"""
# Doubling

The equation $y = 2x$, see [NumPy](https://numpy.org).

$$\\alpha = \\text{half of } \\beta$$

- one
- two
"""
# %% [markdown] lang="zh"
r"""
# 加倍

公式 $y=2x$，见 [NumPy 文档](https://numpy.org)。

$$\\alpha = \\text{一半的} \\beta$$

- 一
- 二
"""
# %% setup
import numpy as np
# %% exercise="double"
from ladder.solutions.stage1_foundation.day01_made import double
# %% [markdown] lang="zh" docstring="double"
r"""``x`` 的两倍。"""
# %% [markdown] hint="double" lang="en"
r"""Multiply."""
# %% [markdown] hint="double" lang="zh"
r"""乘法。"""
# %% [markdown] hint="double" lang="en"
r"""By two."""
# %% [markdown] hint="double" lang="zh"
r"""乘以二。"""
# %%
from ladder.graders.stage1_foundation.day01_made import check_double

check_double(double)
# %%
print("given", np.arange(3))
# %% exercise="pair"
from ladder.solutions.stage1_foundation.day01_made import Pair
# %%
from ladder.graders.stage1_foundation.day01_made import check_pair

check_pair(Pair)
# %% exercise="total"
from ladder.solutions.stage1_foundation.day01_made import Pair
# %%
from ladder.graders.stage1_foundation.day01_made import check_total

check_total(Pair)
# %% [markdown] written="why" lang="en"
r"""Why? *(your answer)*"""
# %% [markdown] written="why" lang="zh"
r"""为什么？*（你的回答）*"""
# %% [markdown] model="why" lang="en"
r"""Because."""
# %% [markdown] model="why" lang="zh"
r"""因为。"""
'''

GRADER = '''"""Checks."""

from ladder.checks import check, say


@check()
def check_double(double, rng):
    """Doubled."""
    yield say("1", "1"), lambda: double(1.0)
    yield say("many", "许多"), lambda: double(rng.normal(size=3))


check_double.mistake(say("Squared?", "平方了？"), within="double", replace={"x * 2.0": "x * x"})


@check()
def check_pair(Pair, rng):
    """Kept."""
    yield say("the first", "第一个"), lambda: Pair(1, 2).first_number


@check()
def check_total(Pair, rng):
    """Summed."""
    yield say("1 + 2", "1 + 2"), lambda: Pair(1, 2).total()
'''

CURRICULUM = {
    "stages": [{"id": STAGE, "title": {"en": "One", "zh": "一"}, "days": [
        {"id": SLUG, "title": {"en": "Made", "zh": "造"}, "exercises": [
            {"id": "double", "title": {"en": "Double", "zh": "加倍"}, "names": ["double"],
             "checks": {"check_double": 2}},
            {"id": "pair", "title": {"en": "Pair", "zh": "对"}, "names": ["Pair.__init__"],
             "checks": {"check_pair": 1.5}},
            {"id": "total", "title": {"en": "Total", "zh": "和"}, "names": ["Pair.total"],
             "checks": {"check_total": 1}},
        ], "written": [{"id": "why", "title": {"en": "Why", "zh": "为何"}, "points": 3}]},
        {"id": "day02_later", "title": {"en": "Later", "zh": "后"}, "needs": [SLUG]},
    ]}],
    "journal": [{"id": "plan", "title": {"en": "Plan", "zh": "计划"},
                 "prompts": [{"en": "When?", "zh": "何时？"}]}],
    "roadmaps": ["roadmap.yaml"],
}
ROADMAP = {"id": "road", "title": {"en": "Road", "zh": "路"}, "sections": [
    {"title": {"en": "S", "zh": "节"}, "boxes": [
        {"id": "road-1", "title": {"en": "B", "zh": "格"}, "needs": [f"{SLUG}.check_double"]},
        {"id": "road-2", "title": {"en": "J", "zh": "志"}, "journal": ["plan"]}]}]}


def write(root: Path, **changed: str) -> Path:
    """Write the made-up repository into ``root``; ``lesson=...`` and the like replace a source."""
    texts = {"lesson": LESSON, "solution": SOLUTION, "grader": GRADER} | changed
    for folder, text in (("stages", "lesson"), ("solutions", "solution"), ("graders", "grader")):
        path = root / folder / STAGE / f"{SLUG}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[text], encoding="utf-8")
    for name, data in (("curriculum.yaml", CURRICULUM), ("roadmap.yaml", ROADMAP)):
        (root / name).write_text(
            changed.get(name.split(".")[0]) or yaml.safe_dump(data, allow_unicode=True, sort_keys=False),
            encoding="utf-8")
    return root


def use(monkeypatch, root: Path, **changed: str) -> curriculum.Curriculum:
    """Write the made-up repository and make this process read it."""
    from ladder import paths

    write(root, **changed)
    monkeypatch.setattr(paths, "PACKAGE", root / "ladder")
    monkeypatch.setenv("LADDER_WORK", str(root / "work"))
    curriculum._load_curriculum.cache_clear()
    monkeypatch.setattr(content, "solution_source",
                        lambda stage, slug: (root / "solutions" / stage / f"{slug}.py").read_text())
    from ladder import build

    monkeypatch.setattr(build, "solution_source", content.solution_source)
    return curriculum.load_curriculum(root / "curriculum.yaml")
