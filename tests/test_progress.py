"""Progress: what ticks a box, what comes next, and every way of showing it."""

from __future__ import annotations

import argparse
import html.parser
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder import curriculum_cache, records
from ladder.commands import progress as command
from ladder.curriculum import (
    Box,
    Curriculum,
    Day,
    Exercise,
    JournalPage,
    Roadmap,
    Section,
    Stage,
    Title,
    Written,
    load_curriculum,
    load_roadmaps,
)
from ladder.errors import ContentError, WorkError
from ladder.progress import BoxState, DayState, Progress, day_done, next_up, progress
from ladder.progress_page import _room, page
from ladder.progress_text import markdown, next_line
from ladder.versions import check_versions


def both(en: str) -> Title:
    return Title(en=en, zh=f"【{en}】")


def day(slug: str, needs: tuple[str, ...] = (), **exercises: tuple[str, ...]) -> Day:
    return Day(
        id=slug, title=both(slug), needs=list(needs),
        exercises=[Exercise(id=name, title=both(name), names=[name], checks=dict.fromkeys(checks, 2))
                   for name, checks in exercises.items()],
        written=[Written(id="essay", title=both("essay"), points=5)] if exercises else [],
    )


POOL = Curriculum(
    journal=[JournalPage(id="plan", title=both("Plan"), prompts=[both("When?")]),
             JournalPage(id="review", title=both("Review"), prompts=[both("What?"), both("Why?")])],
    stages=[
        Stage(id="stage1", title=both("One"), days=[
            day("day01_a", (), first=("check_x", "check_y"), second=("check_z",)),
            day("day02_b", ("day01_a",), only=("check_b",)),
            day("day03_c", ("day02_b",)),  # planned
        ]),
        Stage(id="stage2", title=both("Two"), days=[
            day("day04_d", ("day03_c",), only=("check_d",)),  # built, on a day that is not
            day("day05_e", (), only=("check_e",)),
        ]),
    ],
)
BOXES = [
    Box(id="r-1", title=both("whole day"), checkbox=True, needs=["day01_a"]),
    Box(id="r-2", title=both("one check"), needs=["day01_a.check_z"]),
    Box(id="r-3", title=both("day and check"), needs=["day02_b", "day01_a.check_x"]),
    Box(id="r-4", title=both("planned"), needs=["day03_c"]),
    Box(id="r-5", title=both("half planned"), needs=["day01_a", "day03_c"], target=both("5 %")),
    Box(id="r-6", title=both("by hand"), journal=["plan", "review"]),
    Box(id="r-7", title=both("both"), needs=["day02_b"], journal=["review"]),
    Box(id="r-8", title=both("overlap"), needs=["day01_a", "day01_a.check_x"]),
    Box(id="r-9", title=both("all three"), needs=["day03_c", "day05_e"], journal=["plan"]),
]
ROADMAPS = [
    Roadmap(id="r", title=both("Road <b>\"1\"</b> & more"),
            sections=[Section(title=both("First"), boxes=BOXES[:5]),
                      Section(title=both("Second"), boxes=BOXES[5:])]),
    Roadmap(id="s", title=both("Short"), sections=[Section(title=both("Last"), boxes=[
        Box(id="s-1", title=both("<script>alert(1)</script> a_b *c* [d]"), needs=["day05_e"])])]),
]
CHECKS = [f"{d.id}.{name}" for d in POOL.days for name in d.checks]
ALL_A = {"day01_a.check_x", "day01_a.check_y", "day01_a.check_z"}


def entry(*boxes: str, page: str = "plan") -> dict[str, object]:
    return {"at": "2026-11-20T10:00:00+00:00", "journal": page, "boxes": list(boxes), "answers": ["x"]}


def state(box: str, passed: set[str], *entries: dict[str, object]) -> tuple[BoxState, int, int]:
    found = progress(POOL, ROADMAPS, passed, entries)
    b = next(b for r in found.roadmaps for b in r.boxes if b.box.id == box)
    return b.state, b.done, b.total


@pytest.mark.parametrize(("box", "passed", "named", "expected"), [
    ("r-1", set(), (), (BoxState.OPEN, 0, 3)),
    ("r-1", {"day01_a.check_x"}, (), (BoxState.PARTIAL, 1, 3)),
    ("r-1", ALL_A, (), (BoxState.TICKED, 3, 3)),
    ("r-2", {"day01_a.check_x"}, (), (BoxState.OPEN, 0, 1)),
    ("r-2", {"day01_a.check_z"}, (), (BoxState.TICKED, 1, 1)),
    ("r-3", {"day02_b.check_b"}, (), (BoxState.PARTIAL, 1, 2)),
    ("r-4", set(CHECKS), (), (BoxState.PLANNED, 0, 1)),
    ("r-4", {"day03_c", "day03_c.check_c"}, (), (BoxState.PLANNED, 0, 1)),
    ("r-5", ALL_A, (), (BoxState.PLANNED, 3, 4)),
    ("r-6", set(CHECKS), (), (BoxState.JOURNAL, 0, 1)),
    ("r-6", set(), ("r-6",), (BoxState.TICKED, 1, 1)),
    ("r-7", set(), (), (BoxState.OPEN, 0, 2)),
    ("r-7", set(), ("r-7",), (BoxState.PARTIAL, 1, 2)),
    ("r-7", {"day02_b.check_b"}, (), (BoxState.JOURNAL, 1, 2)),
    ("r-7", {"day02_b.check_b"}, ("r-7",), (BoxState.TICKED, 2, 2)),
    ("r-8", {"day01_a.check_x"}, (), (BoxState.PARTIAL, 1, 3)),
    ("r-9", set(CHECKS), ("r-9",), (BoxState.PLANNED, 2, 3)),
    ("r-1", set(), ("r-1",), (BoxState.OPEN, 0, 3)),  # a journal cannot tick what checks must
    ("r-1", {"day01_a.essay", "day01_a.first"}, (), (BoxState.OPEN, 0, 3)),  # nor written answers
])
def test_what_ticks_a_box(box, passed, named, expected):
    assert state(box, passed, entry(*named)) == expected


@pytest.mark.parametrize("boxes", [None, "r-6", 6, [6, None, ["r-6"]], {"r-6": 1}])
def test_a_damaged_journal_entry_names_no_box(boxes):
    assert state("r-6", set(), {"at": "", "journal": "plan", "boxes": boxes})[0] is BoxState.JOURNAL
    assert state("r-6", set(), {"at": "", "journal": "plan"})[0] is BoxState.JOURNAL


def test_days_count_checks_and_points_but_not_written_answers():
    found = progress(POOL, ROADMAPS, {"day01_a.check_x", "day01_a.check_z", "day05_e.check_e"})
    assert [d.state for d in found.days] == [DayState.STARTED, DayState.BUILT, DayState.PLANNED,
                                             DayState.BUILT, DayState.DONE]
    assert [d.place for d in found.days] == [1, 2, 3, 4, 5]
    assert (found.days[0].passed, found.days[0].points, found.days[0].points_total) == (
        ("check_x", "check_z"), 4, 6)
    assert (found.points, found.points_total, found.built) == (6, 12, 4)


def test_next_is_the_first_day_whose_needs_are_done_and_its_first_open_exercise():
    def upcoming(passed, within=None):
        up = next_up(POOL, passed, within)
        return up and (up.day.id, up.exercise.id, up.checks)

    assert upcoming(set()) == ("day01_a", "first", ("check_x", "check_y"))
    assert upcoming({"day01_a.check_x"}) == ("day01_a", "first", ("check_y",))
    assert upcoming({"day01_a.check_x", "day01_a.check_y"}) == ("day01_a", "second", ("check_z",))
    assert upcoming(ALL_A)[0] == "day02_b"
    # day 4 needs day 3, which is not built: day 5 comes first, then day 4 all the same
    assert upcoming(ALL_A | {"day02_b.check_b"})[0] == "day05_e"
    assert upcoming(set(CHECKS) - {"day04_d.check_d"})[0] == "day04_d"
    assert upcoming(set(CHECKS)) is None
    assert upcoming(set(), {"day05_e"})[0] == "day05_e"


def test_a_roadmap_has_its_own_next_step():
    found = progress(POOL, ROADMAPS, set())
    assert [r.next.day.id for r in found.roadmaps] == ["day01_a", "day05_e"]


subsets = st.frozensets(st.sampled_from(CHECKS))
namings = st.lists(st.sampled_from([b.id for b in BOXES]), max_size=4)
quick = settings(deadline=None, max_examples=60)


@quick
@given(subsets, subsets, namings, namings)
def test_more_never_unticks(passed, more, named, also):
    def boxes(checks, *entries):
        found = progress(POOL, ROADMAPS, checks, entries)
        return {b.box.id: b for r in found.roadmaps for b in r.boxes}

    before = boxes(passed, entry(*named))
    after = boxes(passed | more, entry(*named), entry(*also))
    for name, box in before.items():
        assert after[name].ticked or not box.ticked
        assert after[name].done >= box.done and after[name].total == box.total
        assert box.ticked == (box.done == box.total)
        assert box.done == box.total - len(box.missing) - box.journal_missing


@quick
@given(subsets)
def test_following_what_is_next_leads_to_the_top(passed):
    passed = set(passed)
    for _ in range(len(CHECKS) + 1):
        up = next_up(POOL, passed)
        if up is None:
            break
        assert up.day.built and not day_done(up.day, passed)
        new = {f"{up.day.id}.{name}" for name in up.checks}
        assert new and not new & passed
        passed |= new
    assert passed == set(CHECKS)


@quick
@given(subsets, namings, st.sampled_from(["en", "zh"]))
def test_markdown_has_one_line_for_each_box(passed, named, language):
    found = progress(POOL, ROADMAPS, passed, [entry(*named)])
    text = markdown(found, found.roadmaps, language)
    lines = re.findall(r"^- \[([x ])\] .*<!-- (\S+) -->$", text, re.MULTILINE)
    assert [name for _, name in lines] == [b.box.id for r in found.roadmaps for b in r.boxes]
    assert [mark == "x" for mark, _ in lines] == [b.ticked for r in found.roadmaps for b in r.boxes]
    assert text.count("- [") == len(lines)


def test_markdown_marks_what_is_planned_and_takes_marks_literally():
    found = progress(POOL, ROADMAPS, set())
    text = markdown(found, found.roadmaps, "en")
    assert "- [ ] half planned *(target: 5 %; Day 1: 3 checks to pass; planned: Day 3)*" in text
    assert r"\<script\>alert(1)\</script\> a\_b \*c\* \[d\]" in text
    assert "待建：第 3 天" in markdown(found, found.roadmaps, "zh")


# --- the page -----------------------------------------------------------------------------------

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(html.parser.HTMLParser):
    """Checks nesting, and collects what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice: {tag} {attrs}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def values(self, *names: str) -> list[str]:
        return [value or "" for _, attrs in self.tags for name, value in attrs.items() if name in names]


def check_page(text: str) -> Reader:
    reader = Reader(text)
    ids = Counter(reader.values("id"))
    assert [name for name, times in ids.items() if times > 1] == []
    for link in reader.values("href", "src", "srcset", "action", "poster"):
        assert link == "data:," or (link.startswith("#") and link[1:] in ids), link
    for name in " ".join(reader.values("aria-labelledby", "aria-controls")).split():
        assert name in ids
    assert not re.search(r"url\(|@import|https?://|fetch\(|XMLHttpRequest", text)
    languages = Counter(reader.values("lang"))
    shown = 1 if reader.tags[0][1]["lang"] == "en" else 0
    assert languages["en"] - shown == languages["zh"] > 0
    return reader


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("passed", [set(), ALL_A, set(CHECKS)], ids=["none", "some", "all"])
def test_page_is_well_formed_and_needs_no_network(passed, language):
    found = progress(POOL, ROADMAPS, passed, [entry("r-6")])
    reader = check_page(page(found, found.roadmaps, language))
    boxes = [a["data-state"] for tag, a in reader.tags if tag == "li" and "data-state" in a]
    assert boxes == [b.state for r in found.roadmaps for b in r.boxes]
    rungs = [str(a["class"]) for tag, a in reader.tags if tag == "a" and "rung" in str(a.get("class"))]
    assert [c.split()[1] for c in rungs] == [d.state for d in found.days]
    assert sum("next" in c for c in rungs) == (found.next is not None)


def test_page_escapes_titles():
    found = progress(POOL, ROADMAPS, set())
    text = page(found, found.roadmaps, "en")
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text


def test_page_of_the_real_curriculum():
    found = progress(load_curriculum(), load_roadmaps(), set())
    check_page(page(found, found.roadmaps, "en"))


def test_the_card_of_a_day_stands_where_ladders_are_short():
    assert _room([19, 13, 9, 9, 11, 13, 5, 7, 7, 3, 9, 5]) == (7, 10)
    assert _room([3, 2]) == (0, 0)
    assert _room([]) == (0, 0)


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.setenv("LADDER_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def run(*words: str, language: str = "en") -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(words)
    args.language = language
    return command.run(args)


def finish(slug: str, version: str | None = None) -> None:
    """Records that pass every check of a real day."""
    curriculum = load_curriculum()
    for name, current in check_versions(curriculum.day(slug), curriculum).items():
        records.append({"check": f"{slug}.{name}", "version": version or current,
                        "state": "passed", "score": 1})


def test_records_of_the_current_version_tick_days(workplace, capsys):
    built = load_curriculum().built_days[0]
    finish(built.id, version="outdated")
    assert run("--json") == 0
    assert json.loads(capsys.readouterr().out)["days"][0]["state"] == "built"
    finish(built.id)
    assert run("--json") == 0
    data = json.loads(capsys.readouterr().out)
    days = {d["id"]: d for d in data["days"]}
    assert days[built.id]["state"] == "done"
    assert days[built.id]["points"] == days[built.id]["points_total"] == sum(built.checks.values())
    assert data["next"] is None or data["next"]["day"] != built.id
    assert any(b["ticked"] for r in data["roadmaps"] for s in r["sections"] for b in s["boxes"])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_drawn_in_the_terminal(workplace, capsys, language):
    assert run(language=language) == 0
    text = capsys.readouterr().out
    for roadmap in ("hardcore", "plan180", "halfyear", "p7", "newcomer"):
        assert roadmap in text
    assert "ladder start 1" in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert run("--all", "hardcore", language=language) == 0
    text = capsys.readouterr().out
    hardcore = next(r for r in load_roadmaps() if r.id == "hardcore")
    assert all(len(re.findall(rf"\b{box.id}\b", text)) == 1 for box in hardcore.boxes)
    assert "plan180-5" not in text


def test_unknown_roadmaps_and_unreadable_records_are_named(workplace, capsys):
    with pytest.raises(ContentError, match="did you mean p7"):
        run("p8")
    records.records_path().parent.mkdir(parents=True)
    records.records_path().write_text('{"broken\n')
    assert run("p7") == 0
    assert "1 line(s) could not be read" in capsys.readouterr().err


def test_html_goes_to_the_work_folder_or_a_chosen_file(workplace, capsys):
    assert run("--html") == 0
    path = workplace / "work" / "progress.html"
    assert capsys.readouterr().out.strip() == str(path) and path.stat().st_size > 100_000
    assert run("--html", str(workplace / "new" / "p.html"), "p7") == 0
    check_page((workplace / "new" / "p.html").read_text(encoding="utf-8"))
    (workplace / "file").write_text("")
    with pytest.raises(WorkError, match="could not be written"):
        run("--html", str(workplace / "file" / "p.html"))


def test_starts_quickly_and_without_numpy(workplace):
    code = ("import sys; from ladder.cli import main; main(['progress']); "
            "print({'torch', 'numpy', 'jinja2', 'IPython', 'rich.table'} & set(sys.modules))")
    best = 9.0
    for _ in range(3):
        before = _cpu_of_children()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                              env={"PATH": "", "HOME": str(workplace), "LANG": "C.UTF-8",
                                   "LADDER_WORK": str(workplace / "work")})
        best = min(best, _cpu_of_children() - before)
        assert done.stdout.splitlines()[-1] == "set()"
    assert best < 0.6  # 0.25 s on an idle machine; bench/ holds the real figure


def _cpu_of_children() -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_the_words_for_what_is_next():
    assert next_line(next_up(POOL, {"day01_a.check_x"}), "en") == "Day 1, day01_a: first (1 check to pass)"
    assert "还差 2 项检查" in next_line(next_up(POOL, set()), "zh")
    assert next_line(None, "en").startswith("Every day that is built is done")


# --- the cache of the curriculum ------------------------------------------------------------------


@pytest.fixture
def content(tmp_path):
    root = tmp_path / "content"
    (root / "maps").mkdir(parents=True)
    (root / "curriculum.yaml").write_text(
        "roadmaps: [maps/r.yaml]\nstages:\n- id: s\n  title: {en: S, zh: S}\n  days:\n"
        "  - {id: day01_a, title: {en: A, zh: A}}\n")
    (root / "maps" / "r.yaml").write_text(
        "id: r\ntitle: {en: R, zh: R}\nsections:\n- title: {en: T, zh: T}\n  boxes:\n"
        "  - {id: r-1, title: {en: B, zh: B}, needs: [day01_a]}\n")
    return root


def titles(loaded: curriculum_cache.Loaded) -> tuple[str, str]:
    return loaded[0].days[0].title.en, loaded[1][0].boxes[0].title.en


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def test_the_cache_follows_every_source(content, tmp_path, monkeypatch):
    cache = tmp_path / "cache" / "c.jsonl"
    first = curriculum_cache.load(content, cache)
    assert cache.exists() and curriculum_cache.load(content, cache) == first
    edit(content / "maps" / "r.yaml", "en: B", "en: C")
    assert titles(curriculum_cache.load(content, cache)) == ("A", "C")
    edit(content / "curriculum.yaml", "en: A", "en: D")
    assert titles(curriculum_cache.load(content, cache)) == ("D", "C")
    (content / "maps" / "r.yaml").rename(content / "maps" / "q.yaml")
    edit(content / "curriculum.yaml", "maps/r.yaml", "maps/q.yaml")
    edit(content / "maps" / "q.yaml", "en: C", "en: E")
    assert titles(curriculum_cache.load(content, cache)) == ("D", "E")
    monkeypatch.setattr(curriculum_cache, "SCHEMA", "another schema")
    assert curriculum_cache._read(content, cache) is None


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: b"{}\n", lambda data: b"[]\n{}", lambda data: data[:-40],
    lambda data: data.replace(b'"B"', b'"X"'), lambda data: b"\xff" + data,
    lambda data: data.partition(b"\n")[0],
])
def test_a_damaged_cache_is_rebuilt(content, tmp_path, damage):
    cache = tmp_path / "c.jsonl"
    first = curriculum_cache.load(content, cache)
    cache.write_bytes(damage(cache.read_bytes()))
    assert curriculum_cache.load(content, cache) == first
    assert curriculum_cache._read(content, cache) == first


def test_a_cache_that_cannot_be_written_costs_only_time(content, tmp_path):
    (tmp_path / "file").write_text("")
    assert titles(curriculum_cache.load(content, tmp_path / "file" / "c.jsonl")) == ("A", "B")
    (tmp_path / "folder").mkdir()
    assert titles(curriculum_cache.load(content, tmp_path / "folder")) == ("A", "B")
    assert not list(tmp_path.glob(".*.part"))


def test_the_real_curriculum_survives_the_cache(tmp_path):
    cache = tmp_path / "c.jsonl"
    curriculum_cache.load(cache=cache)
    assert curriculum_cache.load(cache=cache) == (load_curriculum(), load_roadmaps())


# --- in a browser ---------------------------------------------------------------------------------


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium on this machine: sudo apt-get install chromium")


def invented() -> Progress:
    """The real pool with a third of it built and some of that done."""
    curriculum, roadmaps = load_curriculum(), load_roadmaps()
    stages = []
    for stage in curriculum.stages:
        days = [d if d.built or d.number % 3 else day(d.id, tuple(d.needs), one=("check_p", "check_q"))
                for d in stage.days]
        stages.append(stage.model_copy(update={"days": days}))
    curriculum = curriculum.model_copy(update={"stages": stages})
    passed = {f"{d.id}.{name}" for d in curriculum.days if d.number < 40 for name in d.checks}
    passed |= {f"{d.id}.check_p" for d in curriculum.days if 40 < d.number < 60 and d.built}
    return progress(curriculum, roadmaps, passed - {next(iter(sorted(passed)))}, [entry("plan180-5")])


@pytest.mark.browser
def test_page_in_a_browser(tmp_path):
    binary = chromium()
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
    found = invented()
    path = tmp_path / "progress.html"
    path.write_text(page(found, found.roadmaps, "en"), encoding="utf-8")
    requests, problems = [], []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=binary, args=["--no-sandbox", "--disable-gpu", "--no-first-run",
                                          "--disable-background-networking"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.on("request", lambda r: requests.append(r.url))
        tab.on("pageerror", lambda e: problems.append(str(e)))
        tab.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        tab.goto(path.as_uri())

        # the next day is chosen, and arrows climb
        here = f"#{found.next.day.id}"
        assert tab.get_attribute(".rung[aria-current]", "href") == here
        assert found.next.day.title.en in tab.inner_text("#chosen")
        tab.focus(".rung[aria-current]")
        tab.keyboard.press("End")
        assert tab.get_attribute(".rung[aria-current]", "href") == f"#{found.days[-1].day.id}"
        tab.keyboard.press("ArrowDown")
        assert tab.evaluate("document.activeElement.hash") == f"#{found.days[-2].day.id}"

        # languages change without a reload
        tab.click("[data-set-lang=zh]")
        assert found.next.day.title.zh in tab.inner_text(".hero")
        assert found.next.day.title.en not in tab.inner_text(".hero")
        tab.click("[data-set-lang=en]")

        # tabs, sections and filters
        tab.click("#tab-plan180")
        assert tab.is_visible("#panel-plan180") and not tab.is_visible("#panel-hardcore")
        tab.keyboard.press("ArrowRight")
        assert tab.is_visible("#panel-halfyear")
        tab.click("#tab-plan180")
        assert not tab.is_visible("#box-plan180-5")
        tab.click("#panel-plan180 [data-show=ticked]")
        visible = tab.locator("#panel-plan180 .box:visible")
        plan = next(r for r in found.roadmaps if r.roadmap.id == "plan180")
        assert visible.count() == plan.ticked > 1
        assert tab.is_visible("#box-plan180-5")

        # nothing sticks out, on a desk or on a phone, in either language
        for width in (1280, 900, 390, 320):
            tab.set_viewport_size({"width": width, "height": 800})
            for language in ("en", "zh"):
                tab.click(f"[data-set-lang={language}]")
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
        tab.emulate_media(media="print")
        assert not tab.is_visible(".tabs")
        browser.close()
    assert problems == []
    assert [url for url in requests if url.startswith("http")] == []
