"""The learner's own code in later days: what the kernel held, what was verified, and why not."""

import sys
import textwrap

import pytest

from ladder import carry as module
from ladder import content, records
from ladder.carry import carry, definition_hashes, keep_snapshot, learner_source, read_snapshot
from tests import made_day
from tests.made_day import SLUG


def source(*cells):
    return learner_source([textwrap.dedent(cell) for cell in cells])


def run(*cells):
    names: dict = {"method_of": __import__("ladder.notebook", fromlist=["method_of"]).method_of}
    exec(source(*cells), names)
    return names


def test_definitions_imports_and_constants_are_kept():
    text = source('''
        %matplotlib inline
        !pip list
        import math, json as j
        from os import path as p, sep
        EPS = 1e-9
        TABLE: dict = {"a": [1, -2]}
        def f(x): return x + EPS
        class A: ...
        print("no")
        y = f(3)
        a, b = 1, 2
        for i in range(3): pass
    ''')
    for kept in ("import math", "import json as j", "from os import path as p", "from os import sep",
                 "EPS = 1e-09", "TABLE: dict", "def f", "class A"):
        assert kept in text
    for dropped in ("print", "y =", "a, b", "for i", "matplotlib", "pip"):
        assert dropped not in text


def test_the_last_definition_counts():
    assert run("def f(): return 1", "def f(): return 2")["f"]() == 2
    assert run("def f(): return 1", "f = 3", "def f(): return 2")["f"]() == 2
    assert run("def f(): return 1", "f = 3")["f"] == 3
    assert run("f = 3", "def f(): return 1")["f"]() == 1
    assert run("def f(): return 1", "from math import sqrt as f")["f"](4) == 2
    assert run("from math import sqrt as f", "def f(x): return 1")["f"](4) == 1
    assert run("import math as f", "import json as f")["f"].__name__ == "json"
    assert run("N = 1", "N = 2")["N"] == 2


def test_constants_hold_the_value_they_had():
    names = run("N = 3", "class A:\n    n = N", "N = 4", "def f(): return N")
    assert names["A"].n == 3 and names["f"]() == 4


def test_cells_run_again():
    names = run("N = 3", "def f(n=N): return n", "N = 3", "def f(n=N): return n")
    assert names["f"]() == 3
    assert run("class A: x = 1", "class B(A): ...", "class A: x = 2")["B"].x == 2


def test_a_class_run_again_loses_what_was_added_as_in_the_kernel():
    cells = ["class V:\n    def f(self): return 1", "@method_of(V)\ndef g(self): return 2"]
    assert run(*cells)["V"]().g() == 2
    assert not hasattr(run(*cells, cells[0])["V"], "g")
    assert run(*cells, cells[0], cells[1])["V"]().g() == 2
    assert run(*cells, "@method_of(V)\ndef g(self): return 3")["V"]().g() == 3


def test_aliases_and_lambdas():
    names = run("import math", "PI = math.pi", "relu = lambda x: max(x, 0)", "def f(): return relu(-PI)", "g = f")
    assert names["f"]() == 0 and names["g"] is names["f"]
    assert "w =" not in source("w = model.weight")


def test_broken_cells_are_passed_over():
    assert run("def f(:", "def g(): return 1", "def f(): return 2", "\x00", "(" * 500)["f"]() == 2


def test_solutions_and_graders_are_not_carried():
    text = source("from ladder.graders.s.d import check_a\nfrom ladder.solutions.s.d import f\n"
                  "from ladder.earlier.day01_x import g\nfrom ladder.notebook import method_of")
    assert "graders" not in text and "solutions" not in text and "earlier" in text and "method_of" in text


def test_hashes_of_a_growing_class():
    early = "class V:\n    def f(self): return 1\n"
    late = early + "@method_of(V)\ndef g(self): return 2\n"
    assert definition_hashes(early)["V.f"] == definition_hashes(late)["V.f"]
    assert definition_hashes(late)["V.g"] != definition_hashes(late.replace("2", "3"))["V.g"]
    assert definition_hashes(late)["V.f"] == definition_hashes(late.replace("2", "3"))["V.f"]
    formatted = late.replace("return 2", "return (2)  # same")
    assert definition_hashes(late) == definition_hashes(formatted)


@pytest.mark.parametrize("old_new", [("+ 1", "+ 2"), ("E = 1", "E = 2"), ("x * E", "x / E")])
def test_hashes_see_helpers_and_constants(old_new):
    text = "E = 1\ndef deep(x): return x * E\ndef help(x): return deep(x) + 1\ndef f(x): return help(x)\ndef g(): ...\n"
    assert old_new[0] in text
    before, after = definition_hashes(text), definition_hashes(text.replace(*old_new))
    assert before["f"] != after["f"] and before["g"] == after["g"]


def test_snapshots(monkeypatch, tmp_path):
    monkeypatch.setenv("LADDER_WORK", str(tmp_path))
    name = keep_snapshot("day01_x", "x = '好'\n")
    assert keep_snapshot("day01_x", "x = '好'\n") == name
    assert read_snapshot("day01_x", name) == "x = '好'\n"
    path = tmp_path / ".ladder" / "code" / "day01_x" / f"{name}.py"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    path.write_text("x =")  # cut off by a crash, or edited
    assert read_snapshot("day01_x", name) is None
    keep_snapshot("day01_x", "x = '好'\n")
    assert read_snapshot("day01_x", name)
    for odd in ("", "nothing", "../../../etc/passwd", "0" * 16):
        assert read_snapshot("day01_x", odd) is None


@pytest.fixture
def day(monkeypatch, tmp_path):
    """The made-up day, whose reference marks what comes from it."""
    curriculum = made_day.use(monkeypatch, tmp_path)
    names = content.variant("stage1_foundation", SLUG, made_day.SOLUTION)
    reference = type(sys)("reference")
    reference.__dict__.update({"double": names["double"], "Pair": names["Pair"], "given": "reference"})
    monkeypatch.setattr(module, "solution_module", lambda stage, slug: reference)
    monkeypatch.setattr(module, "load_curriculum", lambda: curriculum)
    monkeypatch.setattr(module, "check_versions", lambda day: dict.fromkeys(day.checks, "v1"))
    monkeypatch.delenv("LADDER_CARRY", raising=False)
    monkeypatch.setattr(records, "datetime", _Clock())
    return reference


class _Clock:
    """Each record a second later, so that order is not left to the machine's speed."""

    class UTC: ...

    def __init__(self):
        import datetime

        self.datetime, self.UTC, self.time = self, datetime.UTC, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        self.second = datetime.timedelta(seconds=1)

    def now(self, zone):
        self.time += self.second
        return self.time


def passes(check, *cells, version="v1", state="passed"):
    code = keep_snapshot(SLUG, source(*cells))
    records.append({"check": f"{SLUG}.{check}", "version": version, "state": state, "score": 1.0, "code": code})


DOUBLE = "def double(x): return x + x"
PAIR = "class Pair:\n    def __init__(self, a, b): self.n = a, b"
TOTAL = "@method_of(Pair)\ndef total(self): return 'own'"
SETUP = "from ladder.notebook import begin, method_of"


def test_nothing_passed(day):
    found = carry(SLUG, "double")
    assert not found.own and found.value is day.double
    assert "the reference, since check_double has not passed yet" in found.said.en and "还没有通过" in found.said.zh


def test_passed(day):
    passes("check_double", DOUBLE)
    found = carry(SLUG, "double")
    assert found.own and found.value(2) == 4 and "your own code, verified" in found.said.en


def test_given_names_are_given(day):
    found = carry(SLUG, "given")
    assert found.value == "reference" and found.said.en.endswith(": given")


@pytest.mark.parametrize("options", [{"version": "v0"}, {"state": "failed"}, {"state": "not_checked"}])
def test_what_has_not_passed_as_it_is_now_does_not_count(day, options):
    passes("check_double", DOUBLE, **options)
    assert not carry(SLUG, "double").own


def test_graded_runs_use_the_reference(day, monkeypatch):
    passes("check_double", DOUBLE)
    monkeypatch.setenv("LADDER_CARRY", "reference")
    found = carry(SLUG, "double")
    assert not found.own and "graded run" in found.said.en


def test_running_again_with_broken_code_keeps_the_verified(day):
    passes("check_double", DOUBLE)
    passes("check_double", DOUBLE.replace("+", "-"), state="failed")
    assert carry(SLUG, "double").value(2) == 4
    passes("check_double", DOUBLE.replace("x + x", "2 * x  # newer"))
    assert carry(SLUG, "double").value(2) == 4


def test_the_newest_verified_code_counts(day):
    passes("check_double", "def double(x): return 'older'")
    passes("check_double", "def double(x): return 'newer'")
    assert carry(SLUG, "double").value(1) == "newer"


def test_a_class_is_whole_when_all_its_parts_passed(day):
    passes("check_pair", SETUP, PAIR)
    assert "since check_total has not passed" in carry(SLUG, "Pair").said.en
    passes("check_total", SETUP, PAIR, TOTAL)
    found = carry(SLUG, "Pair")
    assert found.own and found.value(1, 2).total() == "own"


def test_parts_that_passed_in_different_versions_do_not_make_a_whole(day):
    passes("check_pair", SETUP, PAIR)
    passes("check_total", SETUP, PAIR.replace("a, b", "b, a"), TOTAL)
    found = carry(SLUG, "Pair")
    assert not found.own and "one version" in found.said.en and f"`ladder check {SLUG}`" in found.said.en
    passes("check_pair", SETUP, PAIR.replace("a, b", "b, a"))
    assert carry(SLUG, "Pair").own


def test_a_helper_changed_since_is_not_verified(day):
    passes("check_pair", SETUP, "def help(a, b): return a, b", PAIR.replace("a, b\n", "help(a, b)\n"))
    pair = "class Pair:\n    def __init__(self, a, b): self.n = help(a, b)"
    passes("check_pair", SETUP, "def help(a, b): return a, b", pair)
    passes("check_total", SETUP, "def help(a, b): return None", pair, TOTAL)
    assert not carry(SLUG, "Pair").own


def test_code_that_needs_a_computed_name_is_told(day):
    passes("check_double", "factor = sum([1, 1])", "def double(x): return factor * x")
    found = carry(SLUG, "double")
    assert not found.own and "needs factor, which a cell computes" in found.said.en


def test_code_that_does_not_load_alone_is_told(day):
    passes("check_double", "import nothing_of_that_name", DOUBLE)
    found = carry(SLUG, "double")
    assert not found.own and "did not load" in found.said.en and "nothing_of_that_name" in found.said.en
    passes("check_double", "@decorator\ndef double(x): return x")
    assert "NameError" in carry(SLUG, "double").said.en


def test_names_of_one_snapshot_belong_together(day):
    cells = (SETUP, "from dataclasses import dataclass", "@dataclass\nclass Mark:\n    x: 'int' = 1",
             PAIR, TOTAL.replace("'own'", "Mark()"), DOUBLE.replace("x + x", "isinstance(x, Pair)"))
    for check in ("check_pair", "check_total", "check_double"):
        passes(check, *cells)
    assert carry(SLUG, "double").value(carry(SLUG, "Pair").value(1, 2)) is True


def test_lost_snapshots_fall_back(day, tmp_path):
    passes("check_double", DOUBLE)
    for path in (tmp_path / "work" / ".ladder" / "code" / SLUG).iterdir():
        path.unlink()
    assert not carry(SLUG, "double").own


def test_unknown_names_are_import_errors(day, monkeypatch, capsys):
    with pytest.raises(ImportError, match=f"{SLUG} has nothing called nope"):
        carry(SLUG, "nope")
    passes("check_double", DOUBLE)
    earlier = __import__(f"ladder.earlier.{SLUG}", fromlist=["double"])
    try:
        assert earlier.double(3) == 6
        assert f"{SLUG}.double: your own code, verified" in capsys.readouterr().out
        with pytest.raises(ImportError):
            earlier.nope  # noqa: B018
    finally:
        del sys.modules[f"ladder.earlier.{SLUG}"]


def test_errors_in_carried_code_show_the_learners_line(day):
    from ladder.observe import failure_of

    passes("check_double", "def double(x):\n    return x.nothing")
    try:
        carry(SLUG, "double").value(1)
    except AttributeError as error:
        assert failure_of(error).line == "return x.nothing"
