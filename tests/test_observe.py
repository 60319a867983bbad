"""Observing: one generator, anyone's code in it, plain data out of it."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ladder import wire
from ladder.checks import NotChecked, check, raises, say
from ladder.compare import Close, Raises
from ladder.errors import LessonError
from ladder.observe import MAX_OBSERVATIONS, failure_of, observe, practice_seed
from ladder.text import Text


def run(function, *objects, seed=0, hidden=None):
    made = check()(function)
    if hidden is not None:
        made.hidden(hidden)
    return observe(made, objects, seed, hidden is not None)


def test_values_and_functions_of_no_arguments():
    def made(f, rng):
        yield "a value", f(1)
        yield say("a function", "函数"), lambda: f(2), raises(ValueError)

    seen = run(made, lambda n: n * 10).observations
    assert [o.value for o in seen] == [10, 20]
    assert seen[0].label == Text("a value", "a value")
    assert isinstance(seen[0].comparison, Close)
    assert isinstance(seen[1].comparison, Raises)


def test_a_function_isolates_its_error_and_a_value_ends_the_run():
    def made(f, rng):
        yield "one", lambda: f(0)
        yield "two", lambda: f(1)
        yield "three", f(0)
        yield "four", f(1)

    def f(n):
        return 1 // n

    seen = run(made, f).observations
    assert [o.failure and o.failure.kind for o in seen] == ["ZeroDivisionError", None, "ZeroDivisionError"]
    assert "return 1 // n" in seen[0].failure.line
    assert "ArithmeticError" in seen[0].failure.bases


def test_raising_at_once():
    def made(f, rng):
        f()
        yield "never", 1

    def stub():
        raise NotImplementedError("your code here")

    (seen,) = run(made, stub).observations
    assert seen.failure.kind == "NotImplementedError"


def test_hidden_cases_have_their_own_stream_and_run_after_a_failure():
    def made(f, rng):
        yield "open", rng.normal() * f()

    def more(f, rng):
        yield "hidden", rng.normal()

    seen = run(made, lambda: 1.0, hidden=more).observations
    assert [o.hidden for o in seen] == [False, True]
    assert seen[0].value != seen[1].value
    failing = run(made, lambda: 1 / 0, hidden=more).observations
    assert failing[0].failure and failing[1].value == seen[1].value
    assert not any(o.hidden for o in observe(check()(made), [lambda: 1.0], 0).observations)


def test_not_checked_ends_the_run_with_its_reason():
    def made(f, rng):
        yield "one", 1
        raise NotChecked(say("needs a GPU", "需要 GPU"))

    found = run(made, None)
    assert found.not_checked.en == "needs a GPU"
    assert len(found.observations) == 1

    def lazily(f, rng):
        yield "one", f

    def refuse():
        raise NotChecked(say("no data", "没有数据"))

    assert run(lazily, refuse).not_checked.zh == "没有数据"


class Broken(Exception):
    def __str__(self):
        raise RuntimeError("even this")


@pytest.mark.parametrize("error", [
    SystemExit(3), StopIteration(), RecursionError(), MemoryError(), Broken(), GeneratorExit,
    AssertionError("a \ud800"), KeyError("k"), StopAsyncIteration(),
])
def test_whatever_a_learner_raises_is_a_failure(error):
    def f():
        raise error

    def made(f, rng):
        yield "one", lambda: f()
        yield "two", 2

    if error is GeneratorExit:
        with pytest.raises(GeneratorExit):
            run(made, f)
        return
    seen = run(made, f).observations
    assert seen[0].failure.kind == type(error).__name__
    assert seen[1].value == 2
    seen[0].failure.message.encode()


def test_interrupts_pass_through():
    def made(f, rng):
        yield "one", f

    def f():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(made, f)


def test_what_is_not_plain_data_is_a_failure_of_that_row():
    def made(f, rng):
        yield "one", f
        yield "two", 2

    seen = run(made, lambda: object()).observations
    assert seen[0].failure.kind == "WireError"
    assert "type object" in seen[0].failure.message
    assert seen[1].value == 2


@pytest.mark.parametrize("step", [5, ("label",), ("label", 1, 2), ("label", 1, Close(), 4), ["a", 1]])
def test_a_check_that_yields_something_odd_is_the_authors_error(step):
    def made(f, rng):
        yield step

    with pytest.raises(LessonError, match="a check yields"):
        run(made, None)


def test_endless_checks_end():
    def made(f, rng):
        while True:
            yield "again", 1

    assert len(run(made, None).observations) == MAX_OBSERVATIONS


def test_the_same_seed_gives_the_same_numbers_everywhere():
    def made(f, rng):
        yield "rng", rng.normal(size=3)
        yield "random", random.random()
        yield "numpy", np.random.rand()
        yield "torch", torch.rand(2)

    first, again, other = (run(made, None, seed=s).observations for s in (7, 7, 8))
    assert [o.value for o in first] == [o.value for o in again]
    assert all(a.value != b.value for a, b in zip(first, other, strict=True))


@given(st.integers(0, 2**48), st.booleans())
def test_the_learners_random_state_comes_back(seed, fails):
    def state():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    def made(f, rng):
        yield "one", (random.random(), np.random.rand(), float(torch.rand(1)))
        if fails:
            raise ValueError
        random.seed(1)

    before = state()
    run(made, None, seed=seed)
    assert state() == before


def test_a_failure_names_the_learners_line_and_none_of_ours():
    def learner(x):
        return wire.decode({"list": 5}) if x else np.ones(3) @ np.ones(4)

    for x in (0, 1):
        try:
            learner(x)
        except Exception as error:
            told = failure_of(error)
    assert told.line.startswith("return wire.decode")
    assert told.number > 0


def test_no_line_of_a_solution_is_shown(tmp_path):
    from ladder import observe as module

    path = f"{module.CONTENT[2]}/stage1_foundation/day99_secret.py"
    code = compile("def secret():\n    return 1 / 0  # the answer", path, "exec")
    import linecache

    linecache.cache[path] = (1, None, ["def secret():\n", "    return 1 / 0  # the answer\n"], path)
    names: dict = {}
    exec(code, names)
    try:
        names["secret"]()
    except ZeroDivisionError as error:
        assert "answer" not in failure_of(error).line
    finally:
        del linecache.cache[path]


def test_practice_seeds_differ_by_check():
    def check_one(rng): ...

    def check_two(rng): ...

    for f in (check_one, check_two):
        f.__module__ = "ladder.graders.s.d"
    one, two = practice_seed(check()(check_one)), practice_seed(check()(check_two))
    assert one != two
    assert one == practice_seed(check()(check_one))
