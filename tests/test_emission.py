"""The judge reads a learner's message and believes nothing in it."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder import judge
from ladder.checks import at_most, raises, say
from ladder.emission import emission, graded_seed, receive
from ladder.errors import WireError
from tests.made import made_check

SEED = 11


def reference(x):
    if np.ndim(x) == 0 and x < 0:
        raise ValueError("negative")
    return 2 * x


def half(x):
    """Right for whole numbers and nothing else."""
    return 2 * x if isinstance(x, int) else np.zeros(3)


@pytest.fixture(scope="module")
def made():
    monkeypatch = pytest.MonkeyPatch()

    def check_f(f, rng):
        yield say("one", "一"), lambda: f(1)
        yield say("array", "数组"), lambda: f(rng.normal(size=3))
        yield say("bound", "界"), lambda: float(np.sum(f(np.ones(3)))), at_most(6.0)

    found = made_check(monkeypatch, "import numpy as np\ndef f(x):\n    if np.ndim(x) == 0 and x < 0:\n"
                       "        raise ValueError\n    return 2 * x\n", check_f)

    @found.hidden
    def _(f, rng):
        yield say("secret", "保密"), lambda: f(rng.normal(size=2))
        yield say("negative", "负数"), lambda: f(-1), raises(ValueError)

    yield found
    monkeypatch.undo()


def score(made, document):
    """What the judge gives for a message, nothing for one that it refuses."""
    try:
        run = receive(made, json.loads(json.dumps(document)))
    except WireError:
        return 0.0
    return judge.judge(made, run, SEED, hidden=True).fraction


def test_honest_messages(made):
    assert score(made, emission(made, [reference], SEED)) == 1
    assert score(made, emission(made, [half], SEED)) == pytest.approx(2 / 5)  # 1, and the bound
    assert score(made, emission(made, [lambda x: 1 / 0], SEED)) == 0


def test_the_message_holds_no_label_comparison_or_verdict(made):
    text = json.dumps(emission(made, [half], SEED))
    assert "secret" not in text and "bound" not in text and "right" not in text
    assert json.loads(text)["observations"][0].keys() == {"hidden", "value"}


def test_old_outputs_do_not_fit_a_new_seed(made):
    run = receive(made, emission(made, [reference], SEED + 1))
    assert judge.judge(made, run, SEED, hidden=True).fraction <= 3 / 5


def test_graded_seeds_differ_by_check_and_by_run(made):
    assert graded_seed(made, "a") != graded_seed(made, "b")
    assert graded_seed(made, "a") == graded_seed(made, "a")


FORGERIES = [
    lambda d: d | {"observations": []},
    lambda d: d | {"observations": d["observations"][::-1]},
    lambda d: d | {"observations": [o | {"hidden": not o["hidden"]} for o in d["observations"]]},
    lambda d: d | {"observations": [o | {"hidden": False} for o in d["observations"]]},
    lambda d: d | {"observations": [o | {"hidden": "yes"} for o in d["observations"]]},
    lambda d: d | {"observations": d["observations"] * 3},
    lambda d: d | {"observations": [d["observations"][0]] * 5},
    lambda d: d | {"fraction": 1.0, "state": "passed", "score": 100},
    lambda d: d | {"observations": [o | {"right": True, "comparison": "finite"} for o in d["observations"]]},
    lambda d: d | {"not_checked": "needs a GPU"},
    lambda d: d | {"observations": [o | {"not_checked": True} for o in d["observations"]]},
]


@pytest.mark.parametrize("forge", FORGERIES)
def test_forgeries_gain_nothing(made, forge):
    honest = emission(made, [half], SEED)
    assert score(made, forge(copy.deepcopy(honest))) <= score(made, honest)


def test_forged_precision_gains_nothing(made):
    honest = emission(made, [lambda x: 2.02 * x], SEED)
    gained = copy.deepcopy(honest)
    for seen in gained["observations"]:
        if isinstance(seen.get("value"), dict) and "array" in seen["value"]:
            seen["value"]["array"]["precision"] = "bfloat16"
    assert score(made, gained) <= score(made, honest)
    coarse = emission(made, [lambda x: np.float16(2.01 * np.asarray(x))], SEED)
    assert score(made, coarse) <= 1 / 5


@pytest.mark.parametrize("document", [
    None, [], "emission", 5, {}, {"format": 1}, {"format": True, "check": "day01_made.check_f"},
    {"format": 2, "check": "day01_made.check_f", "observations": []},
    {"format": 1, "check": "day01_made.check_g", "observations": []},
    {"format": 1, "check": ["day01_made.check_f"], "observations": []},
    {"format": 1, "check": "day01_made.check_f"},
    {"format": 1, "check": "day01_made.check_f", "observations": {}},
    {"format": 1, "check": "day01_made.check_f", "observations": [1]},
    {"format": 1, "check": "day01_made.check_f", "observations": [None] * 5000},
    {"format": 1, "check": "day01_made.check_f", "observations": [{"failure": 5}]},
])
def test_what_is_no_emission_is_refused(made, document):
    with pytest.raises(WireError):
        receive(made, document)


noise = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["hidden", "value", "failure", "kind", "bases", "message", "line", "number",
                         "list", "array", "int"]), inner, max_size=5), max_leaves=10)


@settings(max_examples=60, deadline=None)
@given(st.lists(noise | st.fixed_dictionaries({"hidden": st.booleans(), "value": noise})
                | st.fixed_dictionaries({"failure": noise}), max_size=8))
def test_noise_never_breaks_the_judge_nor_passes(made, entries):
    document = {"format": 1, "check": made.id, "observations": entries}
    try:
        run = receive(made, document)
    except WireError:
        return
    verdict = judge.judge(made, run, SEED, hidden=True)
    assert not verdict.passed
    assert not verdict.rows[1].right and not verdict.rows[3].right


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changed_messages_of_wrong_code_never_pass(made, data):
    document = json.loads(json.dumps(emission(made, [half], SEED)))
    entries = document["observations"]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(entries) - 1))
        what = data.draw(st.sampled_from(["drop", "copy", "flip", "noise"]))
        if what == "drop" and len(entries) > 1:
            del entries[at]
        elif what == "copy":
            entries.insert(data.draw(st.integers(0, len(entries))), entries[at])
        elif what == "flip":
            entries[at] = {**entries[at], "hidden": not entries[at].get("hidden")}
        elif what == "noise":
            entries[at] = {"hidden": True, "value": data.draw(noise)}
    run = receive(made, document)
    rows = judge.judge(made, run, SEED, hidden=True).rows
    assert not rows[1].right and not rows[3].right
