"""Lessons: every kind of cell, every mistake an author can make, and both languages alike."""

import ast
from pathlib import Path

import pytest

from ladder.errors import LessonError
from ladder.lesson import Cell, _percent, parity_problems, read_lesson
from ladder.text import Text
from tests.made_day import LESSON, SLUG

ROOT = Path(__file__).resolve().parent.parent


def read(tmp_path, text):
    path = tmp_path / f"{SLUG}.py"
    path.write_text(text, encoding="utf-8")
    return read_lesson(path)


def test_every_kind_of_cell(tmp_path):
    lesson = read(tmp_path, LESSON)
    assert [cell.kind for cell in lesson.cells] == [
        "prose", "setup", "exercise", "docstring", "hint", "hint", "check", "given",
        "exercise", "check", "exercise", "check", "written", "model"]
    assert lesson.slug == SLUG
    assert lesson.docstrings == {"double": "``x`` 的两倍。"}
    assert [cell.source.en for cell in lesson.named("hint", "double")] == ["Multiply.", "By two."]
    assert lesson.named("exercise", "total")[0].imports == ("Pair",)
    assert lesson.named("check", "check_total")[0].source.en.endswith("check_total(Pair)")
    prose = lesson.cells[0].source
    assert prose.en.startswith("# Doubling") and prose.zh.startswith("# 加倍")
    assert r"\alpha" in prose.en


def test_magics_and_empty_cells(tmp_path):
    lesson = read(tmp_path, "# %%\n\n# %%\n# %matplotlib inline\nx = 1\n")
    assert [cell.kind for cell in lesson.cells] == ["given"]


PROSE = '# %% [markdown] lang="en"\nr"""Words."""\n'
ZH = '# %% [markdown] lang="zh"\nr"""文字。"""\n'
IMPORT = f"from ladder.solutions.stage1_foundation.{SLUG} import "
CHECKS = f"from ladder.graders.stage1_foundation.{SLUG} import "


@pytest.mark.parametrize(("text", "words"), [
    (PROSE, 'no lang="zh" twin'),
    (PROSE + "# %%\nx = 1\n", 'no lang="zh" twin'),
    (PROSE + PROSE + ZH, 'no lang="zh" twin'),
    (ZH, "prose comes in pairs"),
    ('# %% [markdown]\nr"""Words."""\n', "prose comes in pairs"),
    (PROSE.replace("lang", 'hint="a" lang') + ZH, "twin"),
    (PROSE.replace("lang", 'hint="a" lang') + ZH.replace("lang", 'hint="b" lang'), "twin"),
    (PROSE.replace("lang", 'written="a" lang') + ZH, "twin"),
    ('# %% exercise="a"\nx = 1\n', "imports nothing"),
    (f"# %%\n{IMPORT}f\n", "name the exercise in its header"),
    (f'# %% exercise="a"\n{IMPORT}f as g\n', "by name and not as another"),
    (f'# %% exercise="a"\n{IMPORT}*\n', "by name and not as another"),
    (f"# %%\n{CHECKS}check_a, check_b\n", "one check a cell"),
    ("# %%\nx = = 1\n", rf"{SLUG}.py:2: invalid syntax: 'x = = 1'; a lesson runs as plain Python"),
    ('# %%\nx = (\n# %%\n1)\n', "not Python by itself"),
])
def test_errors_say_what_to_do(tmp_path, text, words):
    with pytest.raises(LessonError, match=words) as caught:
        read(tmp_path, text)
    assert SLUG in str(caught.value)


def test_imports_of_other_days_are_given(tmp_path):
    lesson = read(tmp_path, "# %%\nfrom ladder.earlier.day00_before import f\n"
                            "# %%\nfrom ladder.solutions.stage1_foundation.day00_before import g\n")
    assert [cell.kind for cell in lesson.cells] == ["given", "given"]


def problems(en, zh):
    return parity_problems(Cell("prose", Text(en, zh)))


@pytest.mark.parametrize(("en", "zh", "what"), [
    ("An $x$.", "一个。", "equations"),
    ("An $x + y$.", "一个 $x - y$。", "equations"),
    ("$$a$$ and $b$", "汉字 $$a$$", "equations"),
    ("A [link](https://a.b).", "一个[链接](https://a.c)。", "links"),
    ("See <https://a.b>.", "见 a.b。", "links"),
    ("# Title\nwords", "标题\n字", "headings"),
    ("## Title", "# 标题", "headings"),
    ("- a\n- b", "- 甲", "list items"),
    ("1. a\n2. b", "甲乙", "list items"),
    ("| a |\n|---|\n| b |", "| 甲 |\n|---|", "table rows"),
    ("```\nx\n```", "代码", "code blocks"),
    ("Words", "Words", "no Chinese"),
])
def test_parity_finds(en, zh, what):
    assert any(what in problem for problem in problems(en, zh))


def test_parity_lets_pass():
    assert not problems(r"$$a \text{ where } b$$ costs `$5` \$3", r"$$a \text{其中} b$$ 花费 `$6` \$3")
    assert not problems("# One `# two`\n```\n# three\n```", "# 一\n```\n# 三\n```")


def test_the_made_lesson_is_python():
    ast.parse(LESSON)


ODD = '''# a comment first
import math

# %% Title of a cell
# %matplotlib inline
x = """
# %% not a header
"""

# %% [markdown] lang="en"
# Words in comments.
#
# - one
# %% [markdown] lang="zh"
"""字。"""
# %% written="a b" exercise="e"


y = 1


'''


@pytest.mark.parametrize("path", [*sorted((ROOT / "stages").glob("*/day*.py")), None],
                         ids=lambda path: path.stem if path else "odd")
def test_cells_are_those_that_jupytext_reads(path):
    import jupytext

    text = path.read_text(encoding="utf-8") if path else ODD
    theirs = [(cell.cell_type == "markdown",
               {k: v for k, v in cell.metadata.items() if k not in ("cell_marker", "lines_to_next_cell")},
               cell.source.strip("\n")) for cell in jupytext.reads(text, fmt="py:percent").cells]
    ours = [(cell.markdown, cell.meta, cell.source) for cell in _percent(text, ast.parse(text))]
    assert ours == theirs


def test_the_setup_cell_may_not_import_the_days_own_solution(tmp_path):
    path = tmp_path / "day77_made_up.py"
    path.write_text("# %% setup\nfrom ladder.solutions.stage1_foundation.day77_made_up import Config\n")
    with pytest.raises(LessonError, match="setup cell imports Config"):
        read_lesson(path)
