"""The gates: banks, draws, the notebook of an attempt, the clock, judging, and the boxes they tick."""

from __future__ import annotations

import argparse
import ast
import datetime
import json
import linecache
import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder import curriculum as schema
from ladder import gate_run, gates, records, wire
from ladder.cohort.grading import Heard
from ladder.commands import gate as command
from ladder.commands import progress as progress_command
from ladder.content import solution_module
from ladder.curriculum import load_curriculum, load_roadmaps
from ladder.emission import emission, graded_seed
from ladder.errors import ContentError, CurriculumError, LessonError, WorkError
from ladder.forbids import KERNEL
from ladder.gate_notebook import checks_of_part, drawn_questions, notebook
from ladder.gate_run import judge_answers, reached_for
from ladder.kernel_judge import bridge
from ladder.progress import BoxState, progress
from ladder.progress_page import page
from ladder.progress_text import markdown, still_missing
from ladder.questions import (
    LEAST,
    LETTERS,
    Bank,
    Question,
    combinations,
    difference,
    draw,
    evaluate,
    faults,
    instance,
    load_bank,
)
from ladder.text import LANGUAGES, say

CURRICULUM = load_curriculum()
DAYS = {day.id: day for day in CURRICULUM.days}
READY = [(gate, part) for gate in CURRICULUM.gates for part in gate.parts if not part.waits(DAYS)]
BANKS = {gate.id: load_bank(gates.bank_path(gate)) for gate in CURRICULUM.gates
         if gates.bank_path(gate).exists()}
QUESTIONS = [(gate, part, question) for gate, bank in BANKS.items()
             for part, questions in bank.parts.items() for question in questions]
START = datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One cache of the curriculum for all tests: reading it anew takes most of a test's time."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def work(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("LADDER_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.delenv("LADDER_GATE", raising=False)
    return tmp_path / "work"


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves: ``clock(minutes)``."""
    held = [START]
    monkeypatch.setattr(gates, "now", lambda: held[0])

    def move(minutes: float) -> None:
        held[0] += datetime.timedelta(minutes=minutes)

    return move


def run(*words: str, language: str = "en") -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(words)
    args.language = language
    return command.run(args)


def data(capsys, *words: str, language: str = "en"):
    capsys.readouterr()
    run(*words, "--json", language=language)
    return json.loads(capsys.readouterr().out)


def attempt_of(name: str) -> gates.Attempt:
    found = gates.gate_status(name).open
    assert found is not None
    return found


def solve(name: str, wrong: int = 0) -> None:
    """Save the open attempt with the reference's code and right answers, ``wrong`` of them spoilt."""
    attempt = attempt_of(name)
    gate = CURRICULUM.gate(name)
    document = notebook(gate, attempt, CURRICULUM, solved=True)
    keys = {f"q{n}": q.key for n, q in enumerate(drawn_questions(gate, attempt), 1)}
    for spoilt in list(keys)[:wrong]:
        keys[spoilt] = "?"
    put(document, "answers", f"answers = {keys!r}")
    attempt.path.write_text(json.dumps(document))


def put(document: dict, identity: str, source: str) -> None:
    cell = next(cell for cell in document["cells"] if cell["id"] == identity)
    cell["source"] = source


def perfect(monkeypatch, state="passed"):
    """Judge without a kernel: all checks get ``state``, the answers are the notebook's own."""
    def run_cells(cells, checks, gate, base, folder, timeout):
        found = [ast.literal_eval(cell.partition("=")[2].strip()) for cell in cells
                 if cell.startswith("answers =")]
        sent = {name: wire.encode(value) for name, value in found[0].items()} if found else None
        return {check.id: Heard() for check in checks}, sent

    monkeypatch.setattr(gate_run, "run_cells", run_cells)
    monkeypatch.setattr(gate_run, "verdict_of",
                        lambda check, *_, **__: gate_run.Verdict(check.id, state))


# --- banks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gate", "part"), READY, ids=lambda value: value.id)
def test_every_part_that_can_be_taken_has_enough_questions(gate, part):
    questions = BANKS[gate.id].parts[part.id]
    assert len(questions) >= max(LEAST, part.draw)


def test_no_bank_is_forgotten():
    assert {path.stem for path in gates.bank_path(CURRICULUM.gates[0]).parent.glob("*.yaml")} == set(BANKS)
    for gate, bank in BANKS.items():
        assert set(bank.parts) <= {part.id for part in CURRICULUM.gate(gate).parts}


def test_no_gate_leaves_out_a_day_that_is_built():
    """When a day is built, its gate names checks of it, and its bank gets questions (CONTRIBUTING)."""
    for gate in CURRICULUM.gates:
        for part in gate.parts:
            for need in part.needs:
                assert "." in need or not DAYS[need].built, (
                    f"{need} is built: name its checks in part {part.id} of the gate {gate.id} in "
                    f"curriculum.yaml, and write its questions in {gate.questions}")


@pytest.mark.parametrize(("gate", "part", "question"), QUESTIONS,
                         ids=lambda value: getattr(value, "id", value))
def test_the_key_is_unique_for_all_values(gate, part, question):
    """The proof for every question: options differ in both languages, numbers are finite."""
    assert faults(question) == []
    if question.answer is not None:
        return
    for values in combinations(question):
        for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
            made = instance(part, question, values, order)
            right = instance(part, question, values, [0, 1, 2, 3]).options[0]
            assert [letter for letter, option in zip(LETTERS, made.options, strict=True)
                    if option == right] == [made.key]


def test_the_right_option_is_not_told_by_its_length():
    choices = [question for _, _, question in QUESTIONS if question.right]
    for language in LANGUAGES:
        longest = [q for q in choices if len(q.right.text.in_(language))
                   > max(len(w.text.in_(language)) for w in q.wrong)]
        assert len(longest) <= 0.35 * len(choices), [q.id for q in longest]


def question(**changed) -> dict:
    return {"id": "q", "ask": {"en": "{{n}}?", "zh": "{{n}}？"}, "values": {"n": [1, 2]},
            "answer": "n + 1", "why": {"en": "So.", "zh": "如此。"}} | changed


CHOICE = {"right": {"en": "r", "zh": "对"}, "answer": None, "wrong": [
    {"en": "a", "zh": "甲"}, {"en": "b", "zh": "乙"}, {"en": "c", "zh": "丙"}]}
SAME = [{"en": "a", "zh": "甲"}, {"en": "b", "zh": "乙"}, {"en": "{{n}}", "zh": "对"}]


@pytest.mark.parametrize(("changed", "words"), [
    ({"answer": "n +"}, "cannot be computed"),
    ({"answer": "1 / (n - 1)"}, "cannot be computed"),
    ({"answer": "__import__('os')"}, "no arithmetic"),
    ({"answer": "n.real"}, "no arithmetic"),
    ({"answer": "m"}, "no arithmetic"),
    ({"answer": "10.0 ** 400"}, "cannot be computed"),
    ({"ask": {"en": "{{x}}", "zh": "x"}}, "no arithmetic"),
    ({"ask": {"en": "{{n", "zh": "n"}}, "keeps its braces"),
    ({"answer": None}, "give either"),
    (CHOICE | {"answer": "1"}, "give either"),
    (CHOICE | {"wrong": CHOICE["wrong"][:2]}, "three `wrong`"),
    (CHOICE | {"wrong": SAME}, "two options say the same in 'zh'"),
    (CHOICE | {"wrong": [CHOICE["right"], *SAME[:2]]}, "two options say the same in 'en'"),
    ({"values": {"n": list(range(80)), "m": list(range(80))}}, "more than 5000"),
    ({"values": {"n": []}}, "at least 1 item"),
    ({"tolerance": 0.5}, "less than or equal"),
    ({"hint": "no"}, "not known here"),
])
def test_a_broken_question_is_told_with_its_line(tmp_path, changed, words):
    path = tmp_path / "bank.yaml"
    good = yaml.safe_dump({"parts": {"a": [question(id="first"), question()]}}, allow_unicode=True)
    path.write_text(good)
    assert len(load_bank(path).parts["a"]) == 2
    broken = {"parts": {"a": [question(id="first"), question(**changed)]}}
    text = yaml.safe_dump(broken, allow_unicode=True, default_flow_style=None, width=9999)
    path.write_text(text)
    with pytest.raises(CurriculumError) as caught:
        load_bank(path)
    assert words in str(caught.value), str(caught.value)
    second = [number for number, line in enumerate(text.splitlines(), 1) if line.startswith("  - ")][1]
    assert int(str(caught.value).splitlines()[0].rpartition("bank.yaml:")[2].split(":")[0]) >= second


def test_a_question_stands_once(tmp_path):
    path = tmp_path / "bank.yaml"
    path.write_text(yaml.safe_dump({"parts": {"a": [question(), question()]}}))
    with pytest.raises(CurriculumError, match="q stands twice"):
        load_bank(path)


# --- draws and answers ----------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=st.text(max_size=20), which=st.sampled_from([
    (gate, part) for gate, bank in BANKS.items() for part in bank.parts]), count=st.integers(1, 6))
def test_the_key_goes_with_the_shuffled_options(seed, which, count):
    """Whatever the seed: the key's letter stands at the right option, and only it is right."""
    gate, part = which
    by_id = {f"{part}.{q.id}": q for q in BANKS[gate].parts[part]}
    drawn = draw(BANKS[gate], part, count, seed)
    assert drawn == draw(BANKS[gate], part, count, seed)
    assert len({q.id for q in drawn}) == count
    for made in drawn:
        source = by_id[made.id]
        if source.right is None:
            assert difference(made, made.key) is None and made.options == ()
            assert difference(made, made.key * 1.1 + 1) and difference(made, str(made.key)) is None
            continue
        possible = {instance(part, source, values, [0, 1, 2, 3]).options for values in combinations(source)}
        assert any(set(made.options) == set(options) and
                   made.options[LETTERS.index(made.key)] == options[0] for options in possible)
        assert [letter for letter in LETTERS if difference(made, letter) is None] == [made.key]


def test_every_letter_is_right_sometimes():
    bank = Bank.model_validate({"parts": {"a": [question(**CHOICE)]}})
    keys = [draw(bank, "a", 1, str(seed))[0].key for seed in range(200)]
    assert all(30 < keys.count(letter) < 70 for letter in LETTERS)


@pytest.mark.parametrize(("given", "right"), [
    ("B", True), ("b", True), (" B) ", True), ("Ｂ", True), ("B.", True), ("A", False), ("", False),
    ("AB", False), ("ABCD", False), (None, False), (1, False), ([1], False), ("BB", False),
])
def test_letters(given, right):
    made = instance("a", Question.model_validate(question(**CHOICE)), {"n": 1}, [1, 0, 2, 3])
    assert made.key == "B"
    assert (difference(made, given) is None) is right


@pytest.mark.parametrize(("given", "right"), [
    (0.5, True), ("0.5", True), ("０．５", True), (0.504, True), (0.52, False), (True, False), ("half", False),
    (math.nan, False), (math.inf, False), ("1e999", False), (None, False), ({}, False), (-0.5, False),
    (10**400, False), ("−0.5", False),
])
def test_numbers(given, right):
    made = instance("a", Question.model_validate(question(answer="n / 2", tolerance=0.01)), {"n": 1}, [])
    assert (difference(made, given) is None) is right


def test_arithmetic():
    known = {"n": 33, "block": 16}
    assert evaluate("(-n) % block", known) == 15
    assert evaluate("max(n // block, ceil(n / block)) + 2 ** 3", known) == 11
    assert evaluate("-n * pi", known) == pytest.approx(-33 * math.pi)


# --- the curriculum -------------------------------------------------------------------------------

GATES = """\
stages:
- id: one
  title: {en: One, zh: 一}
  days:
  - id: day01_first
    title: {en: First, zh: 首}
    exercises:
    - {id: f, title: {en: F, zh: 函}, names: [f], checks: {check_f: 2}}
  - {id: day02_second, title: {en: Second, zh: 次}}
gates:
- id: made
  title: {en: Made, zh: 造}
  minutes: 30
  questions: bank.yaml
  parts:
  - id: a
    title: {en: A, zh: 甲}
    needs: [day01_first.check_f]
  - id: b
    title: {en: B, zh: 乙}
    needs: [day02_second]
roadmaps: [road.yaml]
"""
ROAD = """\
id: road
title: {en: Road, zh: 路}
sections:
- title: {en: S, zh: 节}
  boxes:
  - {id: road-1, title: {en: B, zh: 格}, needs: [gate.made, day01_first.check_f]}
"""


def made(tmp_path, text=GATES, road=ROAD):
    (tmp_path / "curriculum.yaml").write_text(text)
    (tmp_path / "road.yaml").write_text(road)
    schema._load_curriculum.cache_clear()
    found = load_curriculum(tmp_path / "curriculum.yaml")
    return found, load_roadmaps(found, tmp_path)


@pytest.mark.parametrize(("old", "new", "line", "words"), [
    ("day01_first.check_f]\n  - id: b", "day01_first.check_g]\n  - id: b", 18, "did you mean check_f"),
    ("needs: [day02_second]", "needs: [day02_secnod]", 21, "did you mean day02_second"),
    ("needs: [day02_second]", "needs: []", 21, "at least 1 item"),
    ("  - id: b", "  - id: a", 15, "the part a stands 2 times"),
    ("minutes: 30", "minutes: 0", 13, "greater than 0"),
    ("minutes: 30", "minuets: 30", 11, "minutes: this key is missing"),
    ("- id: made", "- id: Made", 11, "does not match"),
])
def test_errors_of_gates_name_the_line(tmp_path, old, new, line, words):
    assert GATES.count(old) == 1
    with pytest.raises(CurriculumError) as caught:
        made(tmp_path, GATES.replace(old, new))
    assert f"curriculum.yaml:{line}: " in str(caught.value) and words in str(caught.value)


def test_an_unknown_gate_in_a_box_is_told_with_its_line(tmp_path):
    made(tmp_path)
    with pytest.raises(CurriculumError, match=r"road.yaml:6: .*no gate 'mode'; did you mean made"):
        made(tmp_path, road=ROAD.replace("gate.made", "gate.mode"))
    with pytest.raises(CurriculumError, match=r"no gate ''"):
        made(tmp_path, road=ROAD.replace("gate.made", "gate"))


def test_gates_by_name():
    assert CURRICULUM.gate("KvCache").id == CURRICULUM.gate("kv").id == CURRICULUM.gate("gate.kvcache").id
    for name in ("", "c4", "archh"):
        with pytest.raises(ContentError, match="there is no gate"):
            CURRICULUM.gate(name)


def test_the_five_gates_and_their_boxes():
    assert [gate.id for gate in CURRICULUM.gates] == ["math", "arch", "sys", "cuda", "kvcache"]
    needs = {box.id: box.needs for roadmap in load_roadmaps() for box in roadmap.boxes}
    for number, gate in enumerate(CURRICULUM.gates, 9):
        assert needs[f"hardcore-{number}"] == [f"gate.{gate.id}"]
    assert needs["hardcore-7"] == [f"gate.{gate.id}" for gate in CURRICULUM.gates]


# --- progress -------------------------------------------------------------------------------------


def test_a_gate_in_a_box(tmp_path):
    curriculum, roadmaps = made(tmp_path)
    whole, _ = made(tmp_path, GATES.replace("needs: [day02_second]", "needs: [day01_first.check_f]"))

    def state(pool, *passed):
        found = progress(pool, roadmaps, set(passed))
        box = found.roadmaps[0].boxes[0]
        return box.state, box.done, box.total, still_missing(box, found.days, "en")

    assert state(curriculum) == (
        BoxState.PLANNED, 0, 2, "Day 1: 1 check to pass; gate made, which waits for Day 2 (planned)")
    assert state(whole) == (BoxState.OPEN, 0, 2, "Day 1: 1 check to pass; gate: ladder gate made")
    assert state(whole, "day01_first.check_f")[:3] == (BoxState.PARTIAL, 1, 2)
    assert state(whole, "day01_first.check_f", "gate.made")[:3] == (BoxState.TICKED, 2, 2)
    assert state(whole, "gate.made")[:3] == (BoxState.PARTIAL, 1, 2)


@pytest.mark.parametrize("language", LANGUAGES)
def test_gates_on_every_page(work, language):
    found = progress(CURRICULUM, load_roadmaps(), {"gate.arch"})
    hardcore = [roadmap for roadmap in found.roadmaps if roadmap.roadmap.id == "hardcore"]
    boxes = {line.split("<!-- ")[1].split()[0]: line
             for line in markdown(found, hardcore, language).splitlines() if "<!-- " in line}
    assert boxes["hardcore-10"].startswith("- [x]") and boxes["hardcore-7"].startswith("- [ ]")
    wait = say("gate sys, which waits for Day 28", "sys 关，需等第 28 天建好").in_(language)
    assert wait in boxes["hardcore-11"] or not CURRICULUM.gate("sys").waits(DAYS)
    assert "1/5" in boxes["hardcore-7"]
    assert wait in page(found, hardcore, language) or not CURRICULUM.gate("sys").waits(DAYS)
    shown = progress_command.as_data(found, hardcore)
    assert {g["id"]: g["passed"] for g in shown["gates"]}["arch"] is True  # type: ignore[index,union-attr]


# --- an attempt's notebook ------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", sorted({gate.id for gate, _ in READY}))
def test_the_notebook_asks_and_tells_nothing(work, name, language, capsys):
    run(name, language=language)
    attempt = attempt_of(name)
    text = attempt.path.read_text(encoding="utf-8")
    document = json.loads(text)
    gate = CURRICULUM.gate(name)
    drawn = drawn_questions(gate, attempt)
    prose = "\n".join("".join(cell["source"]) for cell in document["cells"])
    for q in drawn:
        assert q.ask.in_(language) in prose
        assert q.why.en not in prose and q.why.zh not in prose and q.id not in text
        assert all(f"**{letter}** {option.in_(language)}" in prose
                   for letter, option in zip(LETTERS, q.options, strict=False))
    code = {cell["id"]: "".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == "code"}
    blank = ast.literal_eval(code["answers"].partition("=")[2].strip())
    assert list(blank) == [f"q{n}" for n in range(1, len(drawn) + 1)] and not any(blank.values())
    for part in gates.ready_parts(gate, CURRICULUM):
        for check in checks_of_part(part, CURRICULUM):
            assert f"ex-{DAYS[check.slug].exercise_of(check.name).id}" in code
        if part.note:
            assert part.note.text.in_(language) in prose
        for title in part.tasks.values():
            assert title.text.in_(language).splitlines()[0] in prose
    assert "ladder.earlier" not in text and "ladder.solutions" not in text and attempt.seed not in text
    assert f"ladder gate {name} --finish" in code["submitted"]
    assert "raise NotImplementedError" in text
    import nbformat

    nbformat.validate(nbformat.reads(text, as_version=4))


@pytest.mark.parametrize("name", sorted({gate.id for gate, _ in READY}))
def test_the_references_own_cells_pass(name, monkeypatch):
    """Set-up, given parts and stubs are enough for a right answer; nothing that we give is refused."""
    monkeypatch.setenv("LADDER_GATE", "")
    gate = CURRICULUM.gate(name)
    parts = gates.ready_parts(gate, CURRICULUM)
    trial = gates.Attempt(name, 1, START.isoformat(), "0", tuple(p.id for p in parts), 60, "en", "")
    cells = gate_run.code_cells(notebook(gate, trial, CURRICULUM, solved=True))
    space: dict = {"__name__": "__main__"}
    for day in (DAYS[slug] for part in parts for slug in part.days):  # the reference builds on its own
        module = solution_module(CURRICULUM.stage_of(day).id, day.id)
        space |= {n: getattr(module, n) for ex in day.exercises for n in ex.names if "." not in n}
    for number, cell in enumerate(cells):
        name = f"<cell {number} of the gate>"
        linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)  # Triton reads it
        exec(compile(cell, name, "exec"), space)
    checks = {part.id: checks_of_part(part, CURRICULUM) for part in parts}
    heard = {check.id: Heard((emission(check, [space[n] for n in check.needs], graded_seed(check, "s")),))
             for those in checks.values() for check in those}
    verdicts = gate_run.judge_checks(cells, heard, checks, "s")
    assert {v.check: v.state for those in verdicts.values() for _, v in those} == {
        check.id: "not_checked" if KERNEL in check.forbids and not bridge.have_triton() else "passed"
        for those in checks.values() for check in those}


def test_rope_is_asked_from_memory(work):
    run("arch")
    text = json.loads(attempt_of("arch").path.read_text())
    stub = next("".join(cell["source"]) for cell in text["cells"] if cell["id"] == "ex-rope_matrix")
    assert "cos" not in stub and "sin" not in stub


def test_a_class_begins_with_its_first_exercise(work):
    kv = CURRICULUM.gate("kvcache")
    part = kv.parts[0].model_copy(update={"needs": ["day40_paged_attention.check_fork"]})
    gate = kv.model_copy(update={"parts": [part]})
    trial = gates.Attempt("kvcache", 1, START.isoformat(), "0", ("a",), 75, "en", "")
    with pytest.raises(LessonError, match="whose class BlockTable begins with the exercise append_slot"):
        notebook(gate, trial, CURRICULUM)


def test_two_attempts_differ():
    gate = CURRICULUM.gate("arch")
    asked = {tuple((q.id, q.ask, q.options) for q in drawn_questions(
        gate, gates.Attempt("arch", n, START.isoformat(), str(n), ("a", "b"), 60, "en", "")))
        for n in range(5)}
    assert len(asked) == 5


# --- start, resume, give up, list -----------------------------------------------------------------


def test_a_second_start_goes_on_with_the_open_attempt(work, clock, capsys):
    first = data(capsys, "math")
    path = attempt_of("math").path
    assert first["new"] and first["minutes_left"] == 60 and str(path) == first["notebook"]
    path.write_text("mine")
    clock(20)
    again = data(capsys, "Math")
    assert not again["new"] and again["attempt"] == 1 and again["minutes_left"] == 40
    assert path.read_text() == "mine"
    path.unlink()
    run("math")
    assert json.loads(path.read_text())["metadata"]["ladder"]["attempt"] == 1
    assert attempt_of("math").deadline == START + datetime.timedelta(minutes=60)
    clock(50)
    capsys.readouterr()
    run("math", language="zh")
    assert "时间已到" in capsys.readouterr().out


def test_give_up_and_take_it_again(work, clock, capsys):
    run("math")
    assert data(capsys, "math", "--give-up")["event"] == "give_up"
    with pytest.raises(WorkError, match="nothing to give up"):
        run("math", "--give-up")
    with pytest.raises(WorkError, match="`ladder gate math` starts one"):
        run("math", "--finish")
    assert "given up" in command.state_of(gates.gate_status("math")).en
    assert data(capsys, "math")["attempt"] == 2
    assert sorted(path.name for path in (work / "gates").iterdir()) == [
        "math-attempt1.ipynb", "math-attempt2.ipynb"]


def test_nothing_of_the_learners_is_touched(work, capsys):
    (work / "gates").mkdir(parents=True)
    (work / "gates" / "math-attempt1.ipynb").write_text("old")  # its records were deleted
    (work / "day01_matrix_calculus.ipynb").write_text("real work")
    run("math")
    assert attempt_of("math").number == 2
    assert (work / "gates" / "math-attempt1.ipynb").read_text() == "old"
    assert (work / "day01_matrix_calculus.ipynb").read_text() == "real work"
    assert sorted(path.name for path in work.iterdir()) == [".ladder", "day01_matrix_calculus.ipynb", "gates"]


def test_a_gate_of_days_that_are_not_built_says_so(work, capsys):
    waiting = [gate for gate in CURRICULUM.gates if not gates.ready_parts(gate, CURRICULUM)]
    for gate in waiting:
        for language, words in (("en", "is not built"), ("zh", "尚未建好")):
            with pytest.raises(WorkError, match=words) as caught:
                run(gate.id, language=language)
            assert all(f"{DAYS[slug].number}" in str(caught.value) for slug in gate.waits(DAYS))
    assert not (work / "gates").exists() and records.read() == ([], 0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_list(work, clock, capsys, language):
    run("arch")
    clock(12)
    capsys.readouterr()
    assert run(language=language) == 0
    out = capsys.readouterr().out
    assert say("48 minutes left", "还剩 48 分钟").in_(language) in out
    for gate in CURRICULUM.gates:
        assert gate.title.text.in_(language) in out
        for waiting in gates.told_waiting(gate, CURRICULUM):
            assert waiting.in_(language) in out
    assert [row["gate"] for row in data(capsys)] == [gate.id for gate in CURRICULUM.gates]
    with pytest.raises(WorkError, match="name the gate"):
        run("--finish")


def test_records_that_somebody_broke(work, clock):
    run("arch")
    good = records.read()[0][0]
    for key in gates.KINDS:
        records.append(good | {"attempt": 7, key: {}})
    records.append(good | {"attempt": 8, "at": "yesterday"})
    records.append(good | {"attempt": 9, "at": "2026-11-20T10:00:00"})
    records.append({"gate": "arch", "event": "finish", "attempt": 99, "state": "passed"})
    records.append({"gate": ["arch"], "event": "finish", "attempt": 1})
    status = gates.gate_status("arch")
    assert [attempt.number for attempt in status.attempts] == [1] and not status.passed
    assert gates.passed_gates(CURRICULUM) == set()


# --- finish, without a kernel ---------------------------------------------------------------------


def finish(name: str) -> gate_run.Result:
    return gate_run.finish(gates.gate_status(name), CURRICULUM)


@pytest.mark.parametrize(("wrong", "state"), [(0, "passed"), (2, "passed"), (3, "failed"), (10, "failed")])
def test_eighty_per_cent_of_the_questions(work, clock, monkeypatch, wrong, state):
    perfect(monkeypatch)
    run("arch")
    solve("arch", wrong)
    clock(59)
    assert finish("arch").state == state
    assert gates.gate_status("arch").passed is (state == "passed")


@pytest.mark.parametrize("state", ["failed", "not_checked"])
def test_one_check_that_does_not_pass(work, clock, monkeypatch, state):
    perfect(monkeypatch, state)
    run("arch")
    solve("arch")
    result = finish("arch")
    assert result.state == ("failed" if state == "failed" else "practice")
    assert {part.state for part in result.parts} == {state}
    assert [reason.en for reason in result.reasons] == [
        f"part {part} could not be checked here: no reason given" for part in "AB" if state == "not_checked"]
    assert gates.passed_gates(CURRICULUM) == set()


@pytest.mark.parametrize(("minutes", "state"), [(60, "passed"), (60.1, "practice"), (-1, "practice"),
                                                (5000, "practice")])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_time_box(work, clock, monkeypatch, capsys, minutes, state, language):
    perfect(monkeypatch)
    run("arch", language=language)
    solve("arch")
    clock(minutes)
    capsys.readouterr()
    assert run("arch", "--finish", language=language) == (state != "passed")
    out = capsys.readouterr().out
    assert (say("Practice only", "只算练习").in_(language) in out) is (state == "practice")
    assert gates.gate_status("arch").passed is (state == "passed")
    last = records.read()[0][-1]
    assert last["state"] == state and last["late"] is (state == "practice")
    assert set(last["checks"].values()) == {"passed"} and all(last["questions"].values())


def test_a_gate_that_is_not_whole_is_never_passed(work, clock, monkeypatch, capsys):
    waiting = [gate for gate in CURRICULUM.gates
               if gate.waits(DAYS) and gates.ready_parts(gate, CURRICULUM)]
    perfect(monkeypatch)
    for gate in waiting:
        run(gate.id)
        assert "This attempt is for practice" in capsys.readouterr().out
        solve(gate.id)
        shown = data(capsys, gate.id, "--finish")
        assert shown["state"] == "practice" and not shown["late"]
        states = {part["part"]: part["state"] for part in shown["parts"]}
        ready = {part.id for part in gates.ready_parts(gate, CURRICULUM)}
        assert states == {part.id: "passed" if part.id in ready else "not_checked" for part in gate.parts}
        assert all("not built" in part["reason"]["en"] for part in shown["parts"] if part["part"] not in ready)
        records.append({"gate": gate.id, "event": "start", "attempt": 50, "at": START.isoformat(), "seed": "0",
                        "parts": ["a"], "minutes": 60, "language": "en", "bank": ""})
        records.append({"gate": gate.id, "event": "finish", "attempt": 50, "state": "passed",
                        "version": gates.gate_version(gate, CURRICULUM)})
        assert not gates.gate_status(gate.id).passed


def test_a_part_that_was_built_during_the_attempt_does_not_count(work, clock, monkeypatch):
    perfect(monkeypatch)
    run("arch")
    line = records.read()[0][0]
    records.records_path().write_text(json.dumps(line | {"parts": ["a"]}) + "\n")
    solve("arch")
    result = finish("arch")
    assert result.state == "practice" and "part B was not taken" in result.reasons[0].en


def test_a_pass_counts_for_the_version_that_was_passed(work, clock, monkeypatch):
    perfect(monkeypatch)
    run("arch")
    solve("arch")
    finish("arch")
    assert gates.passed_gates(CURRICULUM) == {"gate.arch"}
    assert "passed on 2026-11-20" in command.state_of(gates.gate_status("arch")).en
    monkeypatch.setattr(gates, "gate_version", lambda gate, curriculum: "another")
    assert gates.passed_gates(CURRICULUM) == set()
    assert "take it again" in command.state_of(gates.gate_status("arch")).en


def test_questions_that_were_revised_are_not_judged(work, clock, monkeypatch):
    perfect(monkeypatch)
    run("arch")
    solve("arch")
    monkeypatch.setattr(gates, "bank_hash", lambda gate: "revised")
    result = finish("arch")
    assert result.state == "practice" and not result.answered and "revised" in result.reasons[0].en


def test_a_notebook_that_was_not_saved_keeps_the_attempt_open(work, clock):
    run("arch")
    with pytest.raises(WorkError, match=r"is as it was given: save the notebook .* stays open"):
        run("arch", "--finish")
    assert attempt_of("arch").number == 1


def test_a_pass_stays_when_the_gate_is_taken_again(work, clock, monkeypatch):
    perfect(monkeypatch)
    for wrong, state in ((0, "passed"), (9, "failed")):
        run("arch")
        solve("arch", wrong)
        assert finish("arch").state == state
    run("arch")
    assert command.state_of(gates.gate_status("arch")).en == (
        "passed on 2026-11-20; attempt 3 is open, 60 minutes left")
    assert gates.passed_gates(CURRICULUM) == {"gate.arch"}


def test_a_damaged_notebook_keeps_the_attempt_open(work, clock):
    run("arch")
    path = attempt_of("arch").path
    for text in ("{", "[]", '{"cells": [1]}'):
        path.write_text(text)
        with pytest.raises(WorkError, match="stays open"):
            run("arch", "--finish")
    path.unlink()
    with pytest.raises(WorkError, match="writes a fresh one"):
        run("arch", "--finish")
    assert attempt_of("arch").number == 1


@pytest.mark.parametrize("cell", [
    "from ladder.solutions.stage2_architecture.day21_rope import rope_matrix",
    "from ladder.earlier.day21_rope import rope_matrix", "import ladder.earlier.day21_rope as r",
    "from ladder import earlier", "from ladder import carry", "import ladder.questions",
    "from ladder.gate_notebook import notebook", "if 1:\n    import ladder.judge",
    "import importlib\nimportlib.import_module('ladder.' + 'solutions')",
])
def test_what_a_gate_is_taken_without(cell):
    assert reached_for(["x = 1", cell]) is not None


def test_what_a_gate_may_import():
    assert reached_for(["import numpy as np\nfrom ladder.notebook import method_of\n"
                        "from ladder.gate_kernel import begin, judged_later", "print('ladder')"]) is None


@pytest.mark.parametrize("sent", [
    None, {}, {"q1": {"array": 1}}, {"q1": [1, 2]}, {"q1": {"list": ["A", "B"]}}, {"q1": {"dict": []}},
    {"q1": {"float": "nan"}}, {"q1": {"int": "9" * 9999}}, {"q1": True}, {"q1": "ABCD"}, {"q1": float("nan")},
])
def test_forged_answers_are_wrong_answers(sent):
    for part in BANKS["arch"].parts:
        for made in draw(BANKS["arch"], part, 6, "s"):
            answered = judge_answers([made], sent)[0]
            assert not answered.right and json.dumps(answered.given) is not None


# --- finish, in a real kernel ---------------------------------------------------------------------


def test_a_right_attempt_ticks_the_box(work, clock, capsys):
    run("arch")
    solve("arch")
    document = json.loads(attempt_of("arch").path.read_text())
    keys = ast.literal_eval(next(cell["source"] for cell in document["cells"]
                                 if cell["id"] == "answers").partition("=")[2].strip())
    lines = ["import numpy as np", "class Odd(str):", "    def __eq__(self, other): return True",
             "    __hash__ = str.__hash__", f"answers = {keys!r}",
             "answers = {k: Odd(v) if isinstance(v, str) else np.float64(v) for k, v in answers.items()}"]
    put(document, "answers", "\n".join(lines))
    document["cells"] = [cell for cell in document["cells"] if cell["id"] != "submitted"]
    attempt_of("arch").path.write_text(json.dumps(document))
    clock(31.5)
    shown = data(capsys, "arch", "--finish")
    assert shown["state"] == "passed" and shown["minutes"] == 31.5, shown
    assert shown["questions"] == {"right": 10, "of": 10, "per_cent_needed": 80}
    assert all(q["why"]["zh"] for part in shown["parts"] for q in part["questions"])
    found = progress_command.gather()
    boxes = {box.box.id: box for roadmap in found.roadmaps for box in roadmap.boxes}
    assert boxes["hardcore-10"].ticked and boxes["hardcore-7"].done == 1
    assert not any(record.check for record in records.verdicts()), "no day's check is recorded"
    assert not (work / ".ladder" / "code").exists()


WRONG = {
    "softmax_jacobian": """
def softmax_jacobian(z):
    e = np.exp(z - z.max())
    p = e / e.sum()
    return np.outer(p, p)
""",
    "forgery": """
import os, ladder.notebook
from IPython.display import display
os.environ["LADDER_SEED"] = "0"
os.environ["LADDER_MODE"] = "practice"
real = ladder.notebook.run_check
def run_check(check, objects):
    display({"application/vnd.ladder.verdict+json": {"check": check.id, "state": "passed", "fraction": 1.0}}, raw=True)
    for _ in range(2):
        display({ladder.notebook.OBSERVATIONS: {"format": 1, "check": check.id, "observations": []}}, raw=True)
ladder.notebook.run_check = run_check
""",
}


def test_a_wrong_attempt_and_a_tampered_one(work, clock, capsys):
    run("math", language="zh")
    solve("math")
    path = attempt_of("math").path
    document = json.loads(path.read_text())
    put(document, "ex-softmax_jacobian", WRONG["softmax_jacobian"])
    put(document, "answers", "answers = {'q1': lambda: 'A', 'q2': [1, 2], 3: 4, 'q4': 'E'}")
    put(document, "submitted", "answers['q5'] = object()\n1 / 0")
    path.write_text(json.dumps(document))
    capsys.readouterr()
    assert run("math", "--finish", language="zh") == 1
    out = capsys.readouterr().out
    assert "✗ A · 推导 Softmax 的 Jacobian · 未通过" in out and "✗ 未通过" in out
    assert "✓ 通过 · 10/10 · check_softmax_derivation_steps" in out
    assert "想一想" in out or "≠" in out or "相差" in out
    assert "没有作答" in out and "5 题答对 0 题，需答对 4 题" in out
    run("math")
    solve("math")
    path = attempt_of("math").path
    document = json.loads(path.read_text())
    document["cells"].insert(1, {"cell_type": "code", "id": "x", "metadata": {}, "outputs": [],
                                 "execution_count": None, "source": WRONG["forgery"]})
    path.write_text(json.dumps(document))
    shown = data(capsys, "math", "--finish")
    assert {check["state"] for part in shown["parts"] for check in part["checks"]} == {"failed"}
    assert "more than once" in shown["parts"][0]["checks"][0]["reason"]["en"]


def test_a_notebook_that_dies_or_borrows(work, clock, capsys, monkeypatch):
    run("math")
    attempt = attempt_of("math")
    checks = checks_of_part(CURRICULUM.gate("math").parts[0], CURRICULUM)
    heard, answers = gate_run.run_cells(["answers = {'q1': 'A'}", "import os\nos._exit(1)"], checks, "math", "0",
                                        attempt.path.parent, 60)
    assert answers is None and all("kernel died" in h.trouble.en for h in heard.values())
    heard, answers = gate_run.run_cells(
        ["answers = {'q1': 'A'}", "try:\n    from ladder.earlier.day01_matrix_calculus import softmax_jacobian\n"
         "except ImportError as e:\n    answers['q2'] = str(e)"], checks, "math", "0", attempt.path.parent, 60)
    assert answers == {"q1": "A", "q2": "a gate is taken without the code of earlier days"}
    assert all("NameError" in h.trouble.en for h in heard.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_check_in_a_gates_notebook_says_when_it_is_judged(work, monkeypatch, capsys, language):
    from ladder import notebook as kernel
    from ladder.gate_kernel import begin

    monkeypatch.setenv("LADDER_GATE", "")
    monkeypatch.setattr(kernel, "_language", None)
    begin("math", language=language)
    check = checks_of_part(CURRICULUM.gate("math").parts[0], CURRICULUM)[1]
    check(lambda z: z)
    out = capsys.readouterr().out
    assert "ladder gate math --finish" in out and out.count("\n") == 1
    with pytest.raises(ImportError, match="without the code of earlier days"):
        from ladder.earlier.day01_matrix_calculus import softmax  # noqa: F401


# --- kernels --------------------------------------------------------------------------------------

DAY30 = "day30_triton_first_kernels"
cuda = pytest.mark.skipif(not DAYS[DAY30].built, reason="NOT CHECKED: Day 30 is not built, so the CUDA gate waits")
needs_triton = pytest.mark.skipif(not bridge.have_triton(), reason=f"NOT CHECKED: {bridge.NO_TRITON.en}")


def cells_of(name: str) -> dict[str, str]:
    document = json.loads(attempt_of(name).path.read_text(encoding="utf-8"))
    return {cell["id"]: "".join(cell["source"]) for cell in document["cells"]}


@cuda
@needs_triton
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_notebook_of_a_gate_of_kernels(work, language):
    run("cuda", language=language)
    cells = cells_of("cuda")
    lines = cells["setup"].splitlines()
    assert "from ladder.triton import tl, triton" in lines and "import triton" not in lines
    assert "from ladder.kernel_judge.bridge import report, strict" in lines and reached_for(cells.values()) is None
    assert "`strict(" in cells["gate"] and "`strict(" not in json.dumps(notebook(
        CURRICULUM.gate("arch"), attempt_of("cuda"), CURRICULUM))
    for name in ("add_kernel", "softmax_kernel"):
        stub = cells[f"ex-{name}"]
        assert stub.startswith(f"@triton.jit\ndef {name}(") and stub.rstrip().endswith('"your code here")')
        assert "tl.load" not in stub and "program_id" not in stub and "inf\")" not in stub


WRONG_KERNELS = {
    "ex-add_kernel": ("inside = offsets < n", "inside = offsets <= n"),
    "ex-softmax": ("    softmax_kernel[(rows,)](", "    return torch.softmax(x, dim=-1)\n    softmax_kernel[(rows,)]("),
}


@cuda
@needs_triton
def test_right_kernels_pass_the_gate_and_wrong_ones_do_not(work, clock, capsys):
    """In real kernels, interpreted strictly; the wrong ones name the access, the library call, the hint."""
    run("cuda")
    solve("cuda")
    path = attempt_of("cuda").path
    document = json.loads(path.read_text())
    tried = "print(strict(vector_add, torch.ones(5), torch.ones(5)), report(softmax, torch.ones(2, 3)).findings)"
    document["cells"].insert(-1, {"cell_type": "code", "id": "mine", "metadata": {}, "outputs": [],
                                  "execution_count": None, "source": "%matplotlib inline\n" + tried})
    path.write_text(json.dumps(document))
    shown = data(capsys, "cuda", "--finish")
    assert shown["state"] == "passed", shown
    assert gates.gate_status("cuda").passed

    run("cuda")
    solve("cuda")
    path = attempt_of("cuda").path
    document = json.loads(path.read_text())
    for identity, (old, new) in WRONG_KERNELS.items():
        source = cells_of("cuda")[identity]
        assert source.count(old) == 1
        put(document, identity, source.replace(old, new))
    path.write_text(json.dumps(document))
    capsys.readouterr()
    assert run("cuda", "--finish") == 1
    out = capsys.readouterr().out
    states = records.read()[0][-1]["checks"]
    assert {name.partition(".")[2] for name, state in states.items() if state == "failed"} == {
        "check_add_kernel", "check_add_compiled", "check_vector_add", "check_softmax"}, out
    assert "OutOfBounds" in out and "the last index that exists" in out and "torch.softmax" in out


@cuda
def test_without_triton_a_gate_of_kernels_is_not_passed(work, clock, monkeypatch, capsys):
    """It cannot be begun, and what was begun elsewhere is not checked: neither passed nor failed."""
    monkeypatch.setattr(bridge, "have_triton", lambda: False)
    for language, words in (("en", "cannot be taken on this machine: needs Triton"), ("zh", "无法考 cuda 关")):
        with pytest.raises(WorkError, match=words):
            run("cuda", language=language)
    assert not (work / "gates").exists() and records.read() == ([], 0)
    monkeypatch.setattr(bridge, "have_triton", lambda: True)
    run("cuda")
    solve("cuda")
    monkeypatch.setattr(bridge, "have_triton", lambda: False)
    perfect(monkeypatch)
    monkeypatch.setattr(gate_run, "verdict_of", lambda check, *_, **__: gate_run.Verdict(
        check.id, "passed") if KERNEL not in check.forbids else REAL_VERDICT(check, Heard(), "0"))
    capsys.readouterr()
    assert run("cuda", "--finish") == 1
    out = capsys.readouterr().out
    assert "– A · Vector add in Triton · not checked" in out
    assert "Practice only: part B could not be checked here: needs Triton" in out
    assert records.read()[0][-1]["state"] == "practice" and not gates.gate_status("cuda").passed


REAL_VERDICT = gate_run.verdict_of
