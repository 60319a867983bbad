"""Verdicts: what counts as right, what is told, and which hint."""

import numpy as np
import pytest

from ladder import judge, render
from ladder.checks import NotChecked, accuracy_at_least, at_most, choice, raises, say
from ladder.errors import LessonError
from ladder.observe import Observation, Run, observe
from ladder.text import Text
from tests.made import made_check, verdict_of

SOURCE = "def f(x):\n    return 2 * x\n"


def stub(*args):
    raise NotImplementedError("your code here")


@pytest.fixture
def doubling(monkeypatch):
    def check_f(f, rng):
        """Doubled."""
        for n in (1.0, 2.0, 3.0):
            yield say(f"f({n})", f"{n} 的函数值"), lambda: f(n)
        yield say("f(array)", "数组"), lambda: f(rng.normal(size=3))

    made = made_check(monkeypatch, SOURCE, check_f)

    @made.hidden
    def _(f, rng):
        yield say("secret input -1", "保密输入 -1"), lambda: f(-1.0)

    made.mistake(say("squared", "平方了"), within="f", replace={"2 * x": "x * x"})

    @made.mistake(say("tripled", "三倍了"))
    def f(x):
        return 3 * x

    return made


def test_right(doubling):
    verdict = verdict_of(doubling, lambda x: x + x, hidden=True)
    assert verdict.state == "passed" and verdict.passed and verdict.fraction == 1
    assert len(verdict.rows) == 5 and verdict.hint is None


def test_partial_credit_is_by_row(doubling):
    verdict = verdict_of(doubling, lambda x: 2 * x if np.ndim(x) else 0.0)
    assert verdict.state == "failed"
    assert verdict.fraction == 1 / 4
    assert [row.right for row in verdict.rows] == [False, False, False, True]


def test_a_stub_fails_kindly(doubling):
    verdict = verdict_of(doubling, stub, hidden=True)
    assert verdict.state == "failed" and verdict.fraction == 0 and verdict.hint is None
    assert {row.difference for row in verdict.rows} == {say("not written yet", "还没有写")}


def test_mistakes_give_their_hint(doubling):
    for hidden in (False, True):
        assert verdict_of(doubling, lambda x: x**2, hidden=hidden).hint.en == "squared"
        assert verdict_of(doubling, lambda x: x * 3, hidden=hidden).hint.en == "tripled"
        assert verdict_of(doubling, lambda x: x * 5, hidden=hidden).hint is None
    # f(2) = 4 both ways: the mistake is right there, so only its wrong rows must agree
    assert verdict_of(doubling, lambda x: x**2).fraction == 1 / 4


def test_a_mistake_made_in_part_has_its_hint_too(doubling):
    half = verdict_of(doubling, lambda x: x**2 if np.ndim(x) else 2 * x)
    assert half.hint.en == "squared" and half.fraction == 3 / 4


def test_the_exact_mistake_goes_before_one_that_covers_it(monkeypatch):
    def check_f(f, rng):
        yield "1", f(1)
        yield "2", f(2)

    made = made_check(monkeypatch, SOURCE, check_f)
    made.mistake(say("wide", ""), within="f", replace={"2 * x": "0"})
    made.mistake(say("narrow", ""), within="f", replace={"2 * x": "2 * x if x == 1 else 0"})
    assert verdict_of(made, lambda x: 0).hint.en == "wide"
    assert verdict_of(made, lambda x: 2 if x == 1 else 0).hint.en == "narrow"


def test_the_search_for_a_hint_ends_when_patience_does(doubling):
    assert verdict_of(doubling, lambda x: x * 3, patience=60).hint.en == "tripled"
    verdict = verdict_of(doubling, lambda x: x * 3, patience=-1)
    assert verdict.hint is None and verdict.state == "failed"


def test_errors_are_told_with_the_learners_line(doubling):
    def f(x):
        return x.nothing

    row = verdict_of(doubling, f).rows[0]
    assert row.difference.en.startswith("raised AttributeError")
    assert "return x.nothing" in row.difference.en


def test_raising_in_the_middle_costs_the_rest(monkeypatch):
    def check_f(f, rng):
        yield "1", f(1)
        yield "2", f(2)
        yield "3", f(3)

    made = made_check(monkeypatch, SOURCE, check_f)
    verdict = verdict_of(made, lambda x: 2 // (2 - x) if x > 1 else 2)
    assert [row.right for row in verdict.rows] == [True, False, False]
    assert verdict.rows[1].label.en == "2"
    assert verdict.rows[1].difference.en.startswith("raised ZeroDivisionError")
    assert verdict.rows[2].difference.en == "not reached, after the ZeroDivisionError above"
    assert verdict.fraction == 1 / 3


def test_fewer_observations_than_the_references(monkeypatch):
    def check_f(f, rng):
        for n in range(f(1)):
            yield str(n), n

    made = made_check(monkeypatch, SOURCE, check_f)
    verdict = verdict_of(made, lambda x: 1)
    assert [row.right for row in verdict.rows] == [True, False]
    assert verdict.rows[1].difference.en == "not observed"
    assert verdict_of(made, lambda x: 0).fraction == 0
    assert verdict_of(made, lambda x: 50).passed  # more are not looked at


def test_forbidden_scores_nothing_and_says_why(doubling):
    verdict = verdict_of(doubling, lambda x: x + x, forbidden=say("uses X", "使用了 X"))
    assert verdict.state == "failed" and verdict.fraction == 0
    assert "uses X" in render.text(verdict, doubling)
    assert "使用了 X" in render.html(verdict, doubling, "zh")


def test_not_checked_is_neither(monkeypatch):
    def check_f(f, rng):
        yield "one", f(1)
        raise NotChecked(say("needs a GPU", "需要 GPU"))

    made = made_check(monkeypatch, SOURCE, check_f)
    verdict = verdict_of(made, lambda x: x + x)
    assert verdict.state == "not_checked" and not verdict.passed and verdict.fraction == 0
    assert "needs a GPU" in render.text(verdict, made)


def test_a_learner_who_claims_not_checked_fails(doubling):
    def f(x):
        raise NotChecked(say("spare me", "放过我"))

    verdict = verdict_of(doubling, f, hidden=True)
    assert verdict.state == "failed" and verdict.fraction == 0


def test_raises(monkeypatch):
    source = "def f(x):\n    if x < 0:\n        raise ValueError('negative')\n    return x\n"

    def check_f(f, rng):
        yield "negative", lambda: f(-1), raises(ValueError, TypeError)
        yield "fine", lambda: f(1)

    made = made_check(monkeypatch, source, check_f)

    class Mine(ValueError): ...

    def fails(error):
        def f(x):
            if x < 0:
                raise error
            return x
        return f

    assert verdict_of(made, fails(ValueError())).passed
    assert verdict_of(made, fails(Mine())).passed
    assert verdict_of(made, fails(TypeError())).passed
    assert not verdict_of(made, fails(KeyError())).passed
    told = verdict_of(made, lambda x: x).rows[0].difference.en
    assert told == "must raise ValueError / TypeError, but returned a value"
    assert verdict_of(made, lambda x: object() if x < 0 else x).rows[0].difference.en == told
    assert verdict_of(made, stub).fraction == 0


def test_a_stub_never_counts_as_raising(monkeypatch):
    def check_f(f, rng):
        yield "raises", f, raises(RuntimeError)

    made = made_check(monkeypatch, "def f():\n    raise RuntimeError\n", check_f)
    assert verdict_of(made, stub).fraction == 0


@pytest.fixture
def training(monkeypatch):
    """A check of thresholds only, whose reference says how often it was trained."""
    source = "trained = []\ndef f(x):\n    trained.append(x)\n    return [0, 1], 0.1\n"

    def check_f(f, rng):
        predicted, loss = f(1)
        yield "accuracy", predicted, accuracy_at_least([0, 1], 1.0)
        yield "loss", loss, at_most(0.2)

    made = made_check(monkeypatch, source, check_f)
    runs = []
    monkeypatch.setattr(judge, "reference_run", lambda *a: runs.append(a) or observe(
        made, judge.content.reference_objects(made), a[1], a[2]))
    return made, runs


def test_thresholds_train_once_in_practice(training):
    made, runs = training
    assert verdict_of(made, lambda x: ([0, 1], 0.15)).passed
    failed = verdict_of(made, lambda x: ([0, 0], 0.15))
    assert failed.fraction == 0.5 and runs == []


def test_thresholds_are_the_judges_own_when_graded(training):
    made, runs = training

    def generous(f, rng):
        yield "accuracy", f(1)[0], accuracy_at_least([0, 0], 0.0)
        yield "loss", f(1)[1], at_most(1e9)

    made_generous = type(made)(generous)
    forged = observe(made_generous, [lambda x: ([0, 0], 5.0)], 1)
    verdict = judge.judge(made, forged, 1, hidden=True)
    assert verdict.fraction == 0 and len(runs) == 1


def test_thresholds_of_a_learner_with_fewer_rows_do_not_pass_when_graded(training):
    made, _ = training
    assert judge.judge(made, Run(()), 1, hidden=True).fraction == 0


def test_hidden_cases_are_masked(doubling):
    verdict = verdict_of(doubling, lambda x: x if np.ndim(x) == 0 and x < 0 else 2 * x, hidden=True)
    assert [row.right for row in verdict.rows] == [True] * 4 + [False]
    for language in ("en", "zh"):
        for shown in (render.text(verdict, doubling, language), render.html(verdict, doubling, language)):
            assert "-1" not in shown and "secret" not in shown and "保密" not in shown
            assert "-2" not in shown


def test_choices_do_not_tell_the_answer(monkeypatch):
    def check_f(f, rng):
        for key in ("q1", "q2"):
            yield key, lambda: f()[key], choice()

    made = made_check(monkeypatch, "def f():\n    return {'q1': 'X7', 'q2': 'Y8'}\n", check_f)
    verdict = verdict_of(made, lambda: {"q1": "b", "q2": "Y8"})
    assert verdict.fraction == 0.5
    assert "X7" not in render.html(verdict, made) + render.text(verdict, made)
    assert verdict_of(made, lambda: {}).fraction == 0


def test_html_is_escaped(monkeypatch):
    def check_f(f, rng):
        yield "a < b `code` <script>", lambda: f(), choice()

    made = made_check(monkeypatch, "def f():\n    return 'x'\n", check_f)
    for value in ("<script>alert(1)</script>", "`<b>`", "$\\alpha$"):
        shown = render.html(verdict_of(made, lambda: value), made)
        assert "<script" not in shown and "<b>`" not in shown
        assert "<code>code</code>" in shown


def test_a_reference_that_raises_is_the_authors_error(monkeypatch):
    def check_f(f, rng):
        yield "one", lambda: f(1)

    made = made_check(monkeypatch, "def f(x):\n    raise ValueError('oops')\n", check_f)
    with pytest.raises(LessonError, match="the reference itself raised ValueError: oops at 'one'"):
        verdict_of(made, lambda x: 1)

    def check_g(f, rng):
        return
        yield

    with pytest.raises(LessonError, match="observes nothing"):
        verdict_of(made_check(monkeypatch, SOURCE, check_g), lambda x: 1)


def test_values_that_do_not_decode_are_refused_alone(doubling):
    good = verdict_of(doubling, lambda x: 2 * x)
    run = observe(doubling, [lambda x: 2 * x], 1)
    bad = Observation(Text("", ""), run.observations[0].comparison, {"pickle": "gASV"})
    verdict = judge.judge(doubling, Run((bad, *run.observations[1:])), 1)
    assert good.passed and verdict.fraction == 3 / 4
    assert verdict.rows[0].difference.en.startswith("refused")
