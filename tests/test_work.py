"""The learner's copy: never overwritten, merged around what is theirs, nothing of theirs lost."""

import copy
import json

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ladder import build, work
from ladder.errors import WorkError
from tests import made_day
from tests.made_day import LESSON, SLUG, SOLUTION

MORE = {  # what a new version may change, each as (source, old, new)
    "prose": ("lesson", "- one\n- two", "- one\n- two and more"),
    "prose_gone": ("lesson", LESSON[:LESSON.index("# %% setup")], ""),
    "given": ("lesson", 'print("given", np.arange(3))', 'print("given", np.arange(4))'),
    "given_more": ("lesson", 'print("given", np.arange(3))', 'print("given", np.arange(3))\n# %%\nprint("new")'),
    "given_gone": ("lesson", '# %%\nprint("given", np.arange(3))\n', ""),
    "task": ("solution", '"""Their sum."""', '"""Their sum, a number."""'),
}


@pytest.fixture
def made(monkeypatch, tmp_path):
    def use(*changes, **changed):
        sources = {"lesson": LESSON, "solution": SOLUTION} | changed
        for name in changes:
            which, old, new = MORE[name]
            assert old in sources[which]
            sources[which] = sources[which].replace(old, new)
        curriculum = made_day.use(monkeypatch, tmp_path, **sources)
        build.write(curriculum.day(SLUG), curriculum)
        return curriculum.day(SLUG)
    return use


def read(path):
    document = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(nbformat.from_dict(copy.deepcopy(document)))
    return document


def texts(document):
    return ["".join(cell["source"]) for cell in document["cells"]]


def edit(path, **sources):
    """Type into cells, named by id with _ for -."""
    document = read(path)
    for cell in document["cells"]:
        if (name := cell["id"].replace("-", "_")) in sources:
            cell["source"] = sources.pop(name)
    assert not sources
    path.write_text(json.dumps(document), encoding="utf-8")


def add(path, after, source, kind="code", **more):
    document = read(path)
    at = [cell["id"] for cell in document["cells"]].index(after) + 1 if after else 0
    cell = {"cell_type": kind, "id": f"my{len(document['cells'])}", "metadata": {}, "source": source, **more}
    document["cells"].insert(at, cell | ({"outputs": [], "execution_count": None} if kind == "code" else {}))
    path.write_text(json.dumps(document), encoding="utf-8")


def ids(document):
    return [cell["id"] for cell in document["cells"]]


def test_start_copies_once_and_never_overwrites(made):
    day = made()
    path, done = work.begin_day(day, "en")
    assert done == "new" and path.name == f"{SLUG}.ipynb"
    edit(path, ex_double="def double(x):\n    return x + x\n")
    before = path.read_bytes()
    assert work.begin_day(day, "en") == (path, "kept")
    assert path.read_bytes() == before
    assert work.begin_day(day, "zh")[0].name == f"{SLUG}.zh.ipynb"
    assert path.read_bytes() == before


def test_any_change_of_the_learners_is_kept_while_nothing_of_ours_changes(made):
    day = made()
    path, _ = work.begin_day(day, "en")
    document = read(path)
    given = next(i for i in ids(document) if i.startswith("given-"))
    prose = document["cells"][0]["id"]
    edit(path, **{given.replace("-", "_"): "print('mine')", prose.replace("-", "_"): "# My notes"})
    add(path, given, "extra = 1")
    document = read(path)
    del document["cells"][ids(document).index(prose)]
    path.write_text(json.dumps(document))
    before = path.read_bytes()
    assert work.begin_day(day, "en")[1] == "kept" and path.read_bytes() == before


@pytest.mark.parametrize("change", list(MORE))
def test_a_new_version_keeps_what_is_the_learners(made, change):
    day = made()
    path, _ = work.begin_day(day, "en")
    given = next(i for i in ids(read(path)) if i.startswith("given-"))
    prose = read(path)["cells"][0]["id"]
    edit(path, ex_double="def double(x):\n    return x + x\n", answer_why="Because I say so.",
         **{given.replace("-", "_"): "print('mine')", prose.replace("-", "_"): "# My title"})
    add(path, "ex-double", "double(2.0)")
    add(path, "check-pair", "My note.", "markdown")
    add(path, None, "on_top = 1")
    day = made(change)
    before = path.read_bytes()
    done = work.begin_day(day, "en")[1]
    assert done == ("kept" if change.endswith("_gone") else "merged")  # what went, the learner has changed
    merged = read(path)
    shown, where = texts(merged), ids(merged)
    assert shown[0] == "on_top = 1"
    assert shown[where.index("ex-double")] == "def double(x):\n    return x + x\n"
    assert shown[where.index("ex-double") + 1] == "double(2.0)"
    assert shown[where.index("check-pair") + 1] == "My note."
    assert shown[where.index("answer-why")] == "Because I say so."
    assert "print('mine')" in shown and "# My title" in shown
    assert where.index("check-double") < shown.index("print('mine')") < where.index("ex-pair")
    for kept in (path.parent / ".ladder" / "backups").glob("*"):
        assert done == "merged" and kept.read_bytes() == before
    assert work.begin_day(day, "en")[1] == "kept"
    fresh = json.loads(build.notebook_path(day, "en").read_text(encoding="utf-8"))
    assert [t for t in texts(fresh) if "# Doubling" not in t and "print(" not in t
            and "def double" not in t and "Why?" not in t] == [
        t for t in shown if t not in ("on_top = 1", "double(2.0)", "My note.", "Because I say so.", "# My title",
                                      "print('mine')", "def double(x):\n    return x + x\n")
        and "print(" not in t and "# Doubling" not in t]


def test_untouched_parts_become_the_new_version(made):
    path, _ = work.begin_day(made(), "en")
    day = made("prose", "given", "task")
    assert work.begin_day(day, "en")[1] == "merged"
    assert path.read_text(encoding="utf-8") != ""
    fresh = json.loads(build.notebook_path(day, "en").read_text(encoding="utf-8"))
    assert read(path)["cells"] == fresh["cells"]


def test_verdicts_stay_where_nothing_changed(made):
    path, _ = work.begin_day(made(), "en")
    document = read(path)
    cell = document["cells"][ids(document).index("check-double")]
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "passed"}]
    path.write_text(json.dumps(document))
    work.begin_day(made("prose"), "en")
    assert read(path)["cells"][ids(read(path)).index("check-double")]["outputs"]


def with_exercises(change):
    data = copy.deepcopy(made_day.CURRICULUM)
    change(data["stages"][0]["days"][0]["exercises"])
    import yaml

    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False)


PAIR = LESSON[LESSON.index('# %% exercise="pair"'):LESSON.index('# %% exercise="total"')]
TOTAL = LESSON[LESSON.index('# %% exercise="total"'):LESSON.index('# %% [markdown] written')]


def test_a_removed_exercise_leaves_the_learners_code_and_no_check(made):
    path, _ = work.begin_day(made(), "en")
    edit(path, ex_total="@method_of(Pair)\ndef total(self):\n    return 3\n")
    day = made(lesson=LESSON.replace(TOTAL, ""), curriculum=with_exercises(lambda e: e.pop()))
    assert work.begin_day(day, "en")[1] == "merged"
    merged = read(path)
    (cell,) = [c for c in merged["cells"] if "return 3" in "".join(c["source"])]
    assert "nbgrader" not in cell["metadata"] and "check_total" not in "".join(texts(merged))
    assert work.begin_day(day, "en")[1] == "kept"


def test_a_removed_exercise_never_begun_goes(made):
    path, _ = work.begin_day(made(), "en")
    work.begin_day(made(lesson=LESSON.replace(TOTAL, ""), curriculum=with_exercises(lambda e: e.pop())), "en")
    assert "@method_of" not in "".join(texts(read(path)))
    assert "check_total" not in "".join(texts(read(path)))


def test_added_and_moved_exercises(made):
    few = made(lesson=LESSON.replace(TOTAL, ""), curriculum=with_exercises(lambda e: e.pop()))
    path, _ = work.begin_day(few, "en")
    edit(path, ex_pair="class Pair: ...\n", ex_double="def double(x): return 2 * x\n")
    add(path, "check-pair", "after_pair = 1")
    double = LESSON[LESSON.index('# %% exercise="double"'):LESSON.index("# %%\nprint")]
    moved = LESSON.replace(double, "").replace("# %% [markdown] written", double + "# %% [markdown] written", 1)
    assert work.begin_day(made(lesson=moved), "en")[1] == "merged"
    merged = read(path)
    where, shown = ids(merged), texts(merged)
    assert where.index("ex-pair") < where.index("ex-total") < where.index("ex-double")
    assert shown[where.index("ex-pair")] == "class Pair: ...\n"
    assert shown[where.index("ex-double")].endswith("return 2 * x\n")
    assert shown[where.index("check-pair") + 1] == "after_pair = 1"
    assert "NotImplementedError" in shown[where.index("ex-total")]


def test_deleted_cells_of_a_check_come_back_and_other_deleted_cells_do_not(made):
    day = made()
    path, _ = work.begin_day(day, "en")
    document = read(path)
    prose = document["cells"][0]["id"]
    document["cells"] = [c for c in document["cells"] if c["id"] not in (prose, "check-double", "ex-pair")]
    path.write_text(json.dumps(document))
    assert work.begin_day(day, "en")[1] == "merged"
    where = ids(read(path))
    assert {"check-double", "ex-pair"} <= set(where) and prose not in where
    assert where.index("ex-double") < where.index("check-double") < where.index("ex-pair")


def test_a_copied_exercise_cell_is_kept_as_a_note(made):
    day = made()
    path, _ = work.begin_day(day, "en")
    document = read(path)
    at = ids(document).index("ex-double")
    twin = copy.deepcopy(document["cells"][at]) | {"id": "copied", "source": "def double(x):\n    return 7\n"}
    document["cells"][at]["source"] = "def double(x):\n    return 8\n"
    document["cells"].insert(at, twin)
    path.write_text(json.dumps(document))
    work.begin_day(made("prose"), "en")
    merged = read(path)
    assert texts(merged)[ids(merged).index("ex-double")].endswith("return 8\n")
    assert any("return 7" in text for text in texts(merged))
    assert sum(c["metadata"].get("nbgrader", {}).get("grade_id") == "double" for c in merged["cells"]) == 1


def test_ids_lost_by_an_editor(made):
    path, _ = work.begin_day(made(), "en")
    edit(path, ex_double="def double(x):\n    return x + x\n")
    document = json.loads(path.read_text())
    for cell in document["cells"]:
        del cell["id"]
    document["nbformat_minor"] = 4
    document["cells"].append({"cell_type": "code", "metadata": {}, "source": "mine = 1", "outputs": [],
                              "execution_count": None})
    path.write_text(json.dumps(document))
    work.begin_day(made("prose"), "en")
    merged = read(path)
    assert len([t for t in texts(merged) if "# Doubling" in t]) == 1
    assert texts(merged)[-1] == "mine = 1" and "return x + x" in "".join(texts(merged))


def test_without_what_was_given(made):
    """Copies of before, or a lost .ladder folder."""
    path, _ = work.begin_day(made(), "en")
    given = next(i for i in ids(read(path)) if i.startswith("given-"))
    edit(path, ex_double="def double(x):\n    return x + x\n", **{given.replace("-", "_"): "print('mine')"})
    add(path, "check-pair", "note", "markdown")
    work.base_path(path).unlink()
    work.begin_day(made("prose", "given"), "en")
    shown = texts(read(path))
    assert {"def double(x):\n    return x + x\n", "print('mine')", "note"} <= set(shown)
    assert len([t for t in shown if "# Doubling" in t]) == 1


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"null", b"5", b"\xff\xfe", b'{"cells": 5}', b'{"cells": [5]}', b'{"worksheets": []}',
    b'{"cells": [{"cell_type": "code"}]}', b'{"cells": [{"cell_type": "x", "source": ""}]}',
    b'{"cells": [{"cell_type": "code", "source": [1]}]}', b'{"cells": [{"cell_type": "code", "source": "", "metadata": 5}]}',
    b'{"cells": [{"cell_type": "code", "source": "", "metadata": {"nbgrader": []}}]}',
    b'<<<<<<< HEAD\n{"cells": []}', b"[" * 100_000,
])
def test_a_damaged_notebook_is_left_alone(made, content):
    day = made()
    path, _ = work.begin_day(day, "en")
    path.write_bytes(content)
    for attempt in (lambda: work.begin_day(made("prose"), "en"), lambda: work.reset(day, "en", "double")):
        with pytest.raises(WorkError, match=r"not a readable notebook.*Nothing was changed") as caught:
            attempt()
        assert f"ladder reset {SLUG}" in str(caught.value)
        assert path.read_bytes() == content
    _, kept = work.reset(day, "en")
    assert kept.read_bytes() == content
    assert work.begin_day(day, "en")[1] in ("kept", "merged")


def test_a_byte_order_mark_is_no_damage(made):
    day = made()
    path, _ = work.begin_day(day, "en")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert work.begin_day(day, "en")[1] == "kept"


def test_reset_of_an_exercise_and_of_a_day(made):
    day = made()
    path, _ = work.begin_day(day, "en")
    edit(path, ex_double="def double(x): ...\n", ex_pair="class Pair: ...\n")
    before = path.read_bytes()
    where, kept = work.reset(day, "en", "double")
    assert where == path and kept.read_bytes() == before
    shown = texts(read(path))
    assert any("NotImplementedError" in t and "def double" in t for t in shown) and "class Pair: ...\n" in shown
    _, again = work.reset(day, "en")
    assert again != kept
    assert path.read_text(encoding="utf-8") == build.notebook_path(day, "en").read_text(encoding="utf-8")


def test_reset_finds_the_copy_in_the_other_language(made):
    day = made()
    path, _ = work.begin_day(day, "zh")
    assert work.reset(day, "en", "double")[0] == path
    assert "的两倍" in path.read_text(encoding="utf-8")
    assert work.reset(day, "en")[0] == path
    assert read(path)["metadata"]["ladder"]["language"] == "zh"


def test_errors_that_say_what_to_do(made):
    day = made()
    with pytest.raises(WorkError, match="`ladder start"):
        work.reset(day, "en")
    with pytest.raises(WorkError, match="`ladder start"):
        work.read_notebook(work.copy_path(day, "en"))
    path, _ = work.begin_day(day, "en")
    document = read(path)
    document["cells"] = [c for c in document["cells"] if c["id"] != "ex-pair"]
    path.write_text(json.dumps(document))
    with pytest.raises(WorkError, match=r"`ladder start .* puts it back"):
        work.reset(day, "en", "pair")
    build.notebook_path(day, "zh").unlink()
    with pytest.raises(WorkError, match="`ladder build"):
        work.begin_day(day, "zh")


_built: dict = {}


def built(made, changes):
    if changes not in _built:
        _built[changes] = build.notebook_path(made(*changes), "en").read_text(encoding="utf-8")
    return json.loads(_built[changes])


EDITS = st.lists(st.one_of(
    st.tuples(st.just("type"), st.integers(0, 30), st.text(st.characters(exclude_categories=["Cs"]), max_size=12)),
    st.tuples(st.just("delete"), st.integers(0, 30), st.just("")),
    st.tuples(st.just("add"), st.integers(0, 30), st.text("abc =1\n", min_size=1, max_size=12)),
    st.tuples(st.just("copy"), st.integers(0, 30), st.text("abc", max_size=3)),
    st.tuples(st.just("move"), st.integers(0, 30), st.just("")),
    st.tuples(st.just("no id"), st.integers(0, 30), st.just("")),
    st.tuples(st.just("no metadata"), st.integers(0, 30), st.just("")),
), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EDITS, st.sets(st.sampled_from(["prose", "task", "given_more"])), st.booleans())
def test_no_text_of_a_learner_is_ever_lost(made, edits, changes, with_base):
    base = built(made, ())
    mine, typed = copy.deepcopy(base), []
    for number, (what, at, text) in enumerate(edits):
        cells = mine["cells"]
        at %= len(cells) or 1
        if what == "add" or not cells:
            text = f"mine {number} {text}"
            cells.insert(at, {"cell_type": "code", "id": f"new{number}", "metadata": {}, "source": text,
                              "outputs": [], "execution_count": None})
            typed.append(text)
        elif what == "delete":
            cells.pop(at)
        elif what == "type":
            text = f"mine {number} {text}"
            cells[at]["source"] = text
            typed.append(text)
        elif what == "copy":
            twin = copy.deepcopy(cells[at]) | {"id": f"copy{number}", "source": f"mine {number}{text}"}
            cells.insert(at, twin)
            typed.append(twin["source"])
        elif what == "move":
            cells.append(cells.pop(at))
        elif what == "no id":
            cells[at].pop("id", None)
        elif what == "no metadata":
            cells[at]["metadata"] = {}
    new = built(made, tuple(sorted(changes)))
    locked = {"".join(c["source"]) for c in mine["cells"]
              if c["metadata"].get("nbgrader", {}).get("locked")}
    merged = work.merge(copy.deepcopy(mine), new, base if with_base else None)
    result = mine if merged is None else merged
    if merged is not None:
        nbformat.validate(nbformat.from_dict(copy.deepcopy(merged)))
        assert len(set(ids(merged))) == len(merged["cells"])
        names = [c["metadata"]["nbgrader"]["grade_id"] for c in merged["cells"] if "nbgrader" in c["metadata"]]
        assert sorted(names) == sorted(c["metadata"]["nbgrader"]["grade_id"] for c in new["cells"]
                                       if "nbgrader" in c["metadata"])
        again = work.merge(copy.deepcopy(merged), new, new)
        assert again is None
    shown = texts(result)
    alive = {"".join(c["source"]) for c in mine["cells"]}
    for text in typed:
        if text in alive and text not in locked and text.strip():
            assert text in shown, text
