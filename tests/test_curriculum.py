"""curriculum.yaml and the roadmaps: every broken file is told with file, line and mend."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder import curriculum as module
from ladder.curriculum import (
    Curriculum,
    Roadmap,
    load_curriculum,
    load_roadmaps,
    parse,
    read_source,
)
from ladder.errors import ContentError, CurriculumError
from tests.made_day import CURRICULUM, ROADMAP, SLUG

SPEC = Path(__file__).resolve().parents[2] / "shared" / "spec" / "roadmaps.yaml"

GOOD = """\
stages:
- id: one
  title: {en: One, zh: 一}
  days:
  - id: day01_first
    title: {en: First, zh: 首}
    exercises:
    - id: f
      title: {en: F, zh: 函}
      names: [f]
      checks: {check_f: 2}
    written:
    - {id: why, title: {en: Why, zh: 为何}, points: 3}
  - id: day02_second
    title: {en: Second, zh: 次}
    needs: [day01_first]
journal:
- {id: plan, title: {en: Plan, zh: 计划}, prompts: [{en: When, zh: 何时}]}
roadmaps: [road.yaml]
"""
ROAD = """\
id: road
title: {en: Road, zh: 路}
sections:
- title: {en: S, zh: 节}
  boxes:
  - {id: road-1, title: {en: B, zh: 格}, needs: [day01_first.check_f, day02_second]}
  - {id: road-2, title: {en: J, zh: 志}, journal: [plan], checkbox: true}
"""


def load(tmp_path, text):
    path = tmp_path / "curriculum.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    module._load_curriculum.cache_clear()
    return load_curriculum(path)


def told(tmp_path, text):
    with pytest.raises(CurriculumError) as caught:
        load(tmp_path, text)
    return str(caught.value)


def test_a_good_file(tmp_path):
    curriculum = load(tmp_path, GOOD)
    first, second = curriculum.days
    assert first.built and not second.built and curriculum.built_days == [first]
    assert first.checks == {"check_f": 2} and first.number == 1
    assert first.exercise_of("check_f").id == "f"
    assert first.exercise("f").title.text.in_("zh") == "函"
    assert curriculum.stage_of(second).id == "one"


@pytest.mark.parametrize(("old", "new", "line", "words"), [
    ("day01_first\n    title", "Day-1\n    title", 5, "'Day-1' does not match"),
    ("names: [f]", "names: []", 10, "at least 1 item"),
    ("names: [f]", "names: f", 10, "valid list"),
    ("checks: {check_f: 2}", "checks: {check_f: 0}", 11, "greater than 0"),
    ("checks: {check_f: 2}", "checks: {check_f: two}", 11, "valid number"),
    ("checks: {check_f: 2}", "checks: {check_f: .nan}", 11, ""),
    ("checks: {check_f: 2}", "checks: {}", 11, "at least 1 item"),
    ("checks: {check_f: 2}", "checks: {f_check: 2}", 11, "call it check_f_check"),
    ("checks: {check_f: 2}", "checks: {check_f: 2, check_f: 3}", 11, "'check_f' stands twice here"),
    ("    exercises:", "    exercise:", 7, "not known here"),
    ("      names: [f]\n", "", 8, "names: this key is missing"),
    ("{en: First, zh: 首}", "{en: First}", 6, "zh: this key is missing"),
    ("{en: First, zh: 首}", "{en: First, zh: ''}", 6, "at least 1 character"),
    ("{en: First, zh: 首}", "First", 6, "valid dictionary"),
    ("- id: day02_second", "- id: day01_first", 14, "stands twice"),
    ("- id: day02_second", "- id: day01_second", 14, "another day has the number 1"),
    ("needs: [day01_first]", "needs: [day01_frist]", 16, "did you mean day01_first"),
    ("needs: [day01_first]", "needs: [day02_second]", 16, "it comes later"),
    ("- {id: why,", "- {id: f,", 5, "f stands 2 times"),
    ("points: 3", "points: -3", 13, "greater than 0"),
    ("  title: {en: One", "  tilte: {en: One", 3, "not known here"),
    ("- {id: plan", "- {id: plan, title: {en: P, zh: 计}, prompts: [{en: a, zh: 啊}]}\n- {id: plan", 17,
     "the page plan stands 2 times"),
])
def test_errors_name_file_line_and_mend(tmp_path, old, new, line, words):
    assert GOOD.count(old) == 1
    message = told(tmp_path, GOOD.replace(old, new))
    assert f"curriculum.yaml:{line}: " in message, message
    assert words in message


@pytest.mark.parametrize(("text", "words"), [
    ("", "the file: "), ("- a\n- b\n", "the file: "), ("hello", "the file: "), ("stages: []\n", "stages"),
    ("stages:\n- id: [\n", "curriculum.yaml:3: not valid YAML"),
    ("stages:\n\tid: one\n", "curriculum.yaml:2: not valid YAML"),
    ("a: 1\n b: 2\n", "curriculum.yaml:2: not valid YAML"),
    ("stages: *nothing\n", "not valid YAML"), ("stages: !!python/object:os.system x\n", "not valid YAML"),
    ("a: 1\n---\nb: 2\n", "not valid YAML"), ("a: \x00", "not valid YAML"),
    (b"a: \xff", "not UTF-8 at byte 3"), ("? [a, b]\n: 1\n", "not valid YAML"),
    ("stages: &a [*a]\n", "stages"),
])
def test_files_that_are_no_curriculum(tmp_path, text, words):
    assert words in told(tmp_path, text)


def test_every_problem_is_told_at_once(tmp_path):
    message = told(tmp_path, GOOD.replace("names: [f]", "names: []").replace("points: 3", "points: x"))
    assert len(message.splitlines()) == 2


def test_a_missing_file(tmp_path):
    with pytest.raises(CurriculumError, match="does not exist; restore it"):
        load_curriculum(tmp_path / "nothing.yaml")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_broken_line_is_an_error_that_names_a_line(tmp_path_factory, data):
    """Drop or spoil one line of a good file: it is still good, or the error names file and line."""
    lines = GOOD.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at:at + 1] = data.draw(st.sampled_from([[], [lines[at] + " ]"], [lines[at][1:]], [lines[at].upper()],
                                                  [lines[at], lines[at]], ["  " + lines[at]]]))
    try:
        load(tmp_path_factory.mktemp("c"), "\n".join(lines))
    except CurriculumError as error:
        assert all("curriculum.yaml:" in line for line in str(error).splitlines())


def roads(tmp_path, text):
    curriculum = load(tmp_path, GOOD)
    (tmp_path / "road.yaml").write_text(text)
    return load_roadmaps(curriculum, tmp_path)


@pytest.mark.parametrize(("old", "new", "line", "words"), [
    ("day01_first.check_f", "day01_first.check_g", 6, "no check 'check_g' in day01_first; did you mean check_f"),
    ("day02_second", "day02_secnod", 6, "did you mean day02_second"),
    ("journal: [plan]", "journal: [plant]", 7, "did you mean plan?"),
    ("journal: [plan]", "journal: []", 7, "nothing ticks this box"),
    ("road-2", "road-1", 7, "stands twice"),
    ("road-2", "Road 2", 7, "does not match"),
    ("checkbox: true", "checkbox: perhaps", 7, "valid boolean"),
])
def test_errors_of_roadmaps(tmp_path, old, new, line, words):
    assert len(roads(tmp_path, ROAD)[0].boxes) == 2
    with pytest.raises(CurriculumError) as caught:
        roads(tmp_path, ROAD.replace(old, new))
    assert f"road.yaml:{line}: " in str(caught.value) and words in str(caught.value)


@pytest.mark.parametrize("name", ["1", "01", " 1 ", "day1", "day01", "day01_first", "day01_f", "day01_first.ipynb",
                                  "day01_first.zh.ipynb", "work/day01_first.ipynb"])
def test_days_by_any_name(tmp_path, name):
    assert load(tmp_path, GOOD).day(name).id == "day01_first"


@pytest.mark.parametrize("name", ["", "3", "day", "day0", "²", "1.5", "day01_frist", "-1", "99999999999", "first"])
def test_unknown_days(tmp_path, name):
    with pytest.raises(ContentError, match="there is no day") as caught:
        load(tmp_path, GOOD).day(name)
    assert "`ladder list --all`" in str(caught.value)
    if name == "day01_frist":
        assert "did you mean day01_first" in str(caught.value)


def test_planned_days_and_unknown_exercises(tmp_path):
    curriculum = load(tmp_path, GOOD)
    with pytest.raises(ContentError, match="planned but not built yet; the last built day is day01_first"):
        curriculum.built_day("2")
    with pytest.raises(ContentError, match="no exercise 'g' in day01_first"):
        curriculum.day("1").exercise("g")


def test_the_repositorys_own_files_are_valid():
    curriculum = load_curriculum()
    roadmaps = load_roadmaps(curriculum)
    assert len(roadmaps) == 5
    assert {day.number for day in curriculum.days} >= {1, 2, 3}


def test_every_box_of_the_specification_is_there():
    if not SPEC.exists():
        pytest.skip(f"{SPEC} is not here; it is the workshop's own file")
    wanted = {roadmap["id"]: [box["id"] for section in roadmap["sections"] for box in section["boxes"]]
              for roadmap in yaml.safe_load(SPEC.read_text(encoding="utf-8"))["roadmaps"]}
    ours = {roadmap.id: [box.id for box in roadmap.boxes] for roadmap in load_roadmaps()}
    assert sum(map(len, wanted.values())) == 745
    assert {name: sorted(ids) for name, ids in ours.items()} == {
        name: sorted(ids) for name, ids in wanted.items()}


def test_the_made_day_is_valid(tmp_path):
    curriculum = load(tmp_path, yaml.safe_dump(CURRICULUM, allow_unicode=True))
    assert curriculum.day(SLUG).checks
    assert isinstance(curriculum, Curriculum)
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(ROADMAP, allow_unicode=True))
    assert isinstance(parse(read_source(tmp_path / "r.yaml"), Roadmap), Roadmap)
