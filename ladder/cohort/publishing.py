"""Publish a cohort: a ready nbgrader course with dates and students, and what the students get.

Everything that can be refused is refused before the first file is written. When a published day's
cells change, the gradebook is saved first and put back if anything goes wrong.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import io
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ladder import __version__, content, recorded
from ladder.cohort import book, handout
from ladder.cohort.course import (
    CONFIG,
    built_notebooks,
    configuration,
    generate,
    same_as_built,
    source_path,
    write_sources,
)
from ladder.cohort.migrate import Change, cells_of, compared, migrate, move_autograded
from ladder.cohort.plan import Plan, Slot
from ladder.cohort.roster import Student, read_roster
from ladder.cohort.wheel import wheel
from ladder.curriculum import Curriculum, Day
from ladder.errors import WorkError
from ladder.paths import source_path as content_path
from ladder.release import is_release
from ladder.text import Text, say
from ladder.versions import check_versions

PUBLISHED = "published.json"
SETTINGS = """
# --- From cohort.yaml.

{lines}
"""


@dataclass
class Done:
    """What was published, for the command to tell."""

    course: Path
    slots: Sequence[Slot] = ()
    students: int = 0
    archive: Path | None = None
    notes: list[Text] = field(default_factory=list)


@dataclass(frozen=True)
class Review:
    """What publishing again would change: cells, and checks that judge otherwise."""

    changes: tuple[Change, ...]
    graded: Mapping[str, int]
    notes: tuple[Text, ...]

    def lines(self, language: str) -> list[str]:
        found = []
        for change in self.changes:
            count = self.graded.get(change.slug, 0)
            found.append(say(f"{change.slug} ({count} graded submissions):",
                             f"{change.slug}（已评分 {count} 份）：").in_(language))
            found += [f"  {line.in_(language)}" for line in change.lines()]
        return found


def review(plan: Plan, course: Path, notebooks: Mapping[str, str], curriculum: Curriculum,
           renames: Mapping[str, str]) -> Review:
    """Compare what would be published with what is, without changing anything."""
    changes = []
    for slug, text in notebooks.items():
        path = source_path(course, slug)
        if path.exists():
            change = compared(slug, cells_of(path.read_text(encoding="utf-8")), cells_of(text), renames)
            if change:
                changes.append(change)
    graded = graded_counts(course) if (course / CONFIG).exists() else {}
    notes = []
    before = read_state(course).get("days", {})
    for day in plan.days:
        if day.id not in before:
            continue
        count, old, new = graded.get(day.id, 0), before[day.id], fingerprint(day, curriculum)
        differ = [name for name, version in new["checks"].items()
                  if old["checks"].get(name, version) != version]
        if count and (differ or old["reference"] != new["reference"]):
            what = ", ".join(differ)
            notes.append(say(
                f"{day.id}: {what or 'the reference'} judges otherwise than when {count} submissions "
                f"were graded; their grades stay until you grade them again "
                f"(nbgrader autograde {day.id} --force)",
                f"{day.id}：{what or '参考实现'} 的判定与已评分的 {count} 份提交当时不同；"
                f"成绩不变，除非重新评分（nbgrader autograde {day.id} --force）"))
    known = {path.parent.name for path in (course / "source").glob("*/*.ipynb")}
    notes += [say(f"{slug} was published before and is not in cohort.yaml now; it was left as it is",
                  f"{slug} 之前发布过，现在不在 cohort.yaml 中；保持原样")
              for slug in sorted(known - set(notebooks))]
    return Review(tuple(changes), graded, tuple(notes))


def publish_cohort(
    plan: Plan, course: Path, curriculum: Curriculum, *, now: dt.datetime | None = None,
    moving: bool = False, renames: Mapping[str, str] | None = None, language: str = "en",
) -> Done:
    """Write the course of ``plan`` into the folder ``course``; ``moving`` lets cells change."""
    if is_release():
        raise WorkError("this copy of the workbook is a course's release without solutions; publish "
                        "from a full copy")
    now = now or dt.datetime.now(dt.UTC)
    students = roster_of(plan)
    notebooks = built_notebooks(plan.days, plan.cohort.language, curriculum)
    found = review(plan, course, notebooks, curriculum, renames or {})
    refuse(found, course, notebooks, renames or {}, moving, language)
    recordings = {day.id: recording(course, day, curriculum) for day in plan.days}
    done = Done(course, plan.slots, len(students or ()), notes=[*found.notes])
    done.notes += [Text(note, note) for note in plan.notes]
    course.mkdir(parents=True, exist_ok=True)
    (course / book.STATE).mkdir(exist_ok=True)
    done.notes += write_config(course, plan)
    with careful(course, found.changes):
        if found.changes:
            done.notes += carry_out(course, found.changes, notebooks)
        write_sources(course, dict(notebooks))
        for slug, text in notebooks.items():
            generate(course, slug)
            same_as_built(course, slug, text)
    done.notes += enrol(course, plan, students)
    done.archive = hand_out(course, plan, recordings, curriculum, now)
    write_state(course, plan, curriculum)
    return done


def roster_of(plan: Plan) -> list[Student] | None:
    if plan.cohort.students is None:
        return None
    return read_roster(plan.path.parent / plan.cohort.students)


def refuse(found: Review, course: Path, notebooks: Mapping[str, str], renames: Mapping[str, str],
           moving: bool, language: str) -> None:
    """Raise if cells change and the instructor has not asked for it."""
    if used := [old for old in renames if not any(old in c.renamed for c in found.changes)]:
        raise WorkError(say(
            f"--rename {', '.join(used)}: no published cell of that name is gone; check the spelling. "
            "Nothing was changed.",
            f"--rename {'、'.join(used)}：没有同名的已发布单元格消失；请检查拼写。未作任何改动。").in_(language))
    if not found.changes or moving:
        return
    lines = "\n".join(f"  {line}" for line in found.lines(language))
    raise WorkError(say(
        f"{course} holds these days with other cells, and nbgrader's checksums would no longer fit:\n"
        f"{lines}\nNothing was changed. `--migrate` publishes the change and keeps the grades as "
        "described (the gradebook is saved first); for a new group, publish into a new folder.",
        f"{course} 中这些课程日的单元格不同，nbgrader 的校验和将不再匹配：\n{lines}\n未作任何改动。"
        "加上 `--migrate` 会发布改动并按上面的说明保留成绩（事先备份成绩册）；新的班级请发布到新文件夹。"
    ).in_(language))


@contextlib.contextmanager
def careful(course: Path, changes: Sequence[Change]) -> Any:
    """Undo a migration whose publishing fails: gradebook, sources and autograded notebooks."""
    if not changes:
        yield
        return
    folder = course / book.STATE / "migrations" / book.stamp()
    saved = book.backup(course, folder)
    for change in changes:
        path = source_path(course, change.slug)
        target = folder / path.relative_to(course)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    try:
        yield
    except BaseException:
        if saved is not None:
            book.restore(course, saved)
        for path in [*folder.rglob("*.ipynb")]:
            (course / path.relative_to(folder)).write_bytes(path.read_bytes())
        raise


def carry_out(course: Path, changes: Sequence[Change], notebooks: Mapping[str, str]) -> list[Text]:
    """Migrate the gradebook and the autograded notebooks."""
    from nbgrader.api import MissingEntry

    folder = max((course / book.STATE / "migrations").iterdir())
    notes, aside = [], []
    with book.open_gradebook(course) as gradebook:
        for change in changes:
            try:
                notebook = gradebook.find_notebook(change.slug, change.slug)
            except MissingEntry:
                continue
            if notebook.submissions:
                aside += migrate(gradebook, change, cells_of(notebooks[change.slug]))
        gradebook.db.commit()
    if aside:
        (folder / "removed.json").write_text(json.dumps(aside, ensure_ascii=False, indent=1),
                                             encoding="utf-8")
    for change in changes:
        move_autograded(course, change, folder)
        notes += [Text(f"{change.slug}: {line.en}", f"{change.slug}：{line.zh}")
                  for line in change.lines()]
    notes.append(say(f"the gradebook and notebooks as they were are in {folder}",
                     f"原来的成绩册和笔记本保存在 {folder}"))
    return notes


def write_config(course: Path, plan: Plan) -> list[Text]:
    """Write the configuration, unless the instructor has changed it."""
    path, cohort = course / CONFIG, plan.cohort
    lines = []
    if cohort.exchange:
        root = (plan.path.parent / Path(cohort.exchange).expanduser()).resolve()
        lines.append(f"c.Exchange.root = {str(root)!r}")
    lines += ['c.AssignLatePenalties.plugin_class = "ladder.cohort.late.LatePolicy"',
              *(f"c.LatePolicy.{name} = {value!r}" for name, value in cohort.late)]
    text = configuration(cohort.course) + SETTINGS.format(lines="\n".join(lines))
    digest = hashlib.sha256
    if path.exists():
        held = path.read_bytes()
        if digest(held).hexdigest() != read_state(course).get("config") and held != text.encode():
            return [say(f"kept {path}, which you have changed; compare it with these settings of "
                        "cohort.yaml:\n    " + "\n    ".join(lines),
                        f"保留了你修改过的 {path}；请对照 cohort.yaml 的这些设置：\n    "
                        + "\n    ".join(lines))]
    path.write_text(text, encoding="utf-8")
    state = read_state(course)
    _write_json(course, state | {"config": digest(text.encode()).hexdigest()})
    return []


def enrol(course: Path, plan: Plan, students: Sequence[Student] | None) -> list[Text]:
    """Due dates and students into the gradebook; nobody is ever taken out."""
    with book.open_gradebook(course) as gradebook:
        for slot in plan.slots:
            gradebook.update_or_create_assignment(slot.day.id, duedate=slot.due_utc)
        for student in students or ():
            gradebook.update_or_create_student(
                student.id, first_name=student.first_name, last_name=student.last_name,
                email=student.email, lms_user_id=student.lms_user_id)
        known = {student.id for student in gradebook.students}
    gone = sorted(known - {student.id for student in students}) if students is not None else []
    if not gone:
        return []
    return [say(f"in the gradebook but not in {plan.cohort.students}: {', '.join(gone)}; they keep "
                "their grades", f"在成绩册中但不在 {plan.cohort.students} 中：{'、'.join(gone)}；成绩保留")]


# --- what students get ----------------------------------------------------------------------------


def hand_out(course: Path, plan: Plan, recordings: Mapping[str, bytes], curriculum: Curriculum,
             now: dt.datetime) -> Path:
    """Write ``handout/``: README, calendar, lock file, wheel, and the zip that holds all."""
    references, missing = open_references(plan, curriculum, now)
    about = {
        "course": plan.cohort.course,
        "versions": {day.id: check_versions(day, curriculum) for day in plan.days},
        "references": missing,
    }
    made = wheel(plan.days, references, recordings, about, curriculum)
    released = {day.id: (course / "release" / day.id / f"{day.id}.ipynb").read_text(encoding="utf-8")
                for day in plan.days}
    return handout.write_handout(course / "handout", plan.cohort.course,
                                 handout.handout(plan, made, released, now))


def open_references(plan: Plan, curriculum: Curriculum, now: dt.datetime
                    ) -> tuple[set[str], dict[str, str | None]]:
    """The days whose reference a learner may have now; for the others needed, from when."""
    slots = {slot.day.id: slot for slot in plan.slots}
    rules = plan.cohort.release
    needed = {need for day in plan.days for need in curriculum.all_needs(day)}

    def past(slug: str) -> bool:
        return slug not in slots or plan.closes(slots[slug]) <= now

    allowed = {slug for slug in needed
               if rules.earlier == "always" or (rules.earlier == "after_due" and past(slug))}
    if rules.solutions == "after_due":
        allowed |= {slug for slug in slots if past(slug)}
    held = {slug for slug in allowed if curriculum.all_needs(curriculum.day(slug)) <= allowed}
    missing: dict[str, str | None] = {}
    for slug in sorted(needed - held):
        later = [plan.closes(slots[s]) for s in {slug, *curriculum.all_needs(curriculum.day(slug))}
                 if s in slots]
        missing[slug] = None
        if rules.earlier == "after_due" and later:
            missing[slug] = f"{max(later):%Y-%m-%d %H:%M} ({plan.cohort.time_zone})"
    return held, missing


def recording(course: Path, day: Day, curriculum: Curriculum) -> bytes:
    """The day's recorded observations; made once for each state of its sources."""
    name = f"{day.id}-{_digest(_recorded_from(day, curriculum))[:16]}.json.gz"
    path = course / book.STATE / "observations" / name
    if not path.exists():
        checks = content.checks_of(curriculum.stage_of(day).id, day.id)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            data = recorded.pack(recorded.record(list(checks.values())))
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(data)
        part.replace(path)
    return path.read_bytes()


def _recorded_from(day: Day, curriculum: Curriculum) -> list[str]:
    """Everything that recorded observations depend on."""
    import numpy as np

    from ladder import checks, compare, judge, observe, wire

    parts = [__version__, np.__version__]
    parts += [Path(str(module.__file__)).read_text(encoding="utf-8")
              for module in (checks, compare, judge, observe, recorded, wire)]
    for slug in sorted({day.id, *curriculum.all_needs(day)}):
        stage = curriculum.stage_of(curriculum.day(slug)).id
        parts.append(content_path("solutions", stage, slug).read_text(encoding="utf-8"))
    parts.append(content_path("graders", curriculum.stage_of(day).id, day.id).read_text("utf-8"))
    return parts


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


# --- what was published ---------------------------------------------------------------------------


def fingerprint(day: Day, curriculum: Curriculum) -> dict[str, Any]:
    """What decides a day's grades: the versions of its checks and its reference."""
    stage = curriculum.stage_of(day).id
    return {"checks": check_versions(day, curriculum),
            "reference": _digest([content.solution_source(stage, day.id)])[:16]}


def read_state(course: Path) -> dict[str, Any]:
    path = course / book.STATE / PUBLISHED
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def write_state(course: Path, plan: Plan, curriculum: Curriculum) -> None:
    state = read_state(course)
    days = state.get("days", {}) | {day.id: fingerprint(day, curriculum) for day in plan.days}
    calendar = {slot.day.id: {"opens": slot.opens.isoformat(), "due": slot.due.isoformat()}
                for slot in plan.slots}
    _write_json(course, state | {
        "days": days, "calendar": calendar, "zone": plan.cohort.time_zone,
        "heading": list(plan.cohort.heading), "language": plan.cohort.language})


def _write_json(course: Path, state: Mapping[str, Any]) -> None:
    path = course / book.STATE / PUBLISHED
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(state, ensure_ascii=False, indent=1, sort_keys=True), encoding="utf-8")


def graded_counts(course: Path) -> dict[str, int]:
    """How many submissions of each day are in the gradebook."""
    if book.database_file(course) is None and book.database(course).startswith("sqlite:///"):
        return {}
    with book.open_gradebook(course) as gradebook:
        return {found.name: len(found.submissions) for found in gradebook.assignments}
