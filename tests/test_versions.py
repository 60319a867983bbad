"""A check's version changes with what it observes and with nothing else."""

import textwrap

import pytest

from ladder.errors import LessonError
from ladder.versions import _file_versions, versions_of

GRADER = '''
import numpy as np

from ladder.checks import check, close, say

ROUGH = close(rtol=1e-6)
SIZES = [1, 2]
UNUSED = 5


def deeper(x):
    """Words."""
    return x + 1


def helper(x):
    """Words."""
    return deeper(x) * 2


def unrelated():
    return 1


@check(forbids=("torch",))
def check_a(f, rng):
    """Title."""
    for n in SIZES:
        # a comment
        yield say("label", "标签"), lambda: helper(f(n)), ROUGH
        yield "plain label", f(n)


@check_a.hidden
def _(f, rng):
    yield say("more", "更多"), f(3)


check_a.mistake(say("hint", "提示"), within="f", replace={"a": "b"})


@check_a.mistake(say("hint", "提示"))
def f(n):
    return n


for f in (1, 2):
    check_a.mistake(say("loop", "环"), within="f", replace={"a": str(f)})


@check()
def check_b(f, rng):
    yield say("label", "标签"), f(1)
'''


def versions(*change):
    assert not change or GRADER.count(change[0]) >= 1
    return versions_of(GRADER.replace(*change) if change else GRADER)


def test_versions_are_of_checks():
    assert set(versions()) == {"check_a", "check_b"}
    assert all(len(v) == 12 for v in versions().values())


@pytest.mark.parametrize("change", [
    ("# a comment", "# another comment"), ('"""Title."""', '"""Another title."""'), ('"label", "标签"', '"x", "y"'),
    ("plain label", "plainer label"), ('"more", "更多"', '"x", "y"'), ('"""Words."""', '"""Other words."""'),
    ('say("hint", "提示")', 'say("x", "y")'), ('replace={"a": "b"}', 'replace={"a": "c"}'), ("for f in (1, 2)", "for f in (1, 3)"),
    ("    return n\n", "    return n + 1\n"), ("SIZES = [1, 2]", "SIZES = [1,\n    2]"), ("UNUSED = 5", "UNUSED = 6"),
    ("def unrelated():\n    return 1", "def unrelated():\n    return 2"), ("import check, close, say", "import check, choice, close, say"),
    ("import numpy as np\n", ""), ("\n\n\n", "\n\n\n\n"),
])
def test_words_and_form_do_not_count(change):
    assert versions(*change) == versions()


@pytest.mark.parametrize("change", [
    ("f(n)), ROUGH", "f(n))"), ("SIZES = [1, 2]", "SIZES = [1, 3]"), ("rtol=1e-6", "rtol=1e-3"), ("* 2", "* 3"),
    ("return x + 1", "return x + 2"), ("f(3)", "f(4)"), ('"torch",', '"numpy",'), ("helper(f(n))", "f(n)"),
    ("        yield \"plain label\", f(n)\n", ""), ("check_a(f, rng)", "check_a(g, rng)"),
])
def test_what_is_observed_counts_for_its_check_alone(change):
    now, before = versions(*change), versions()
    assert now["check_a"] != before["check_a"]
    assert now["check_b"] == before["check_b"]


def test_hidden_cases_count():
    cut = GRADER.replace('@check_a.hidden\ndef _(f, rng):\n    yield say("more", "更多"), f(3)\n', "")
    assert cut != GRADER
    assert versions_of(cut)["check_a"] != versions()["check_a"]


def test_recursion_ends():
    text = textwrap.dedent('''
        def a(): return b()
        def b(): return a()
        @check()
        def check_x(f, rng):
            yield "1", a()
    ''')
    assert versions_of(text)


def test_a_broken_grader_is_told(tmp_path):
    path = tmp_path / "day.py"
    path.write_text("def check_a(:\n")
    with pytest.raises(LessonError, match=r"day\.py:1: "):
        _file_versions(path, 0)
