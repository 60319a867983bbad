"""curriculum.yaml and the roadmaps: schema, cross-references, and errors that name the line.

The files are validated in two steps: each against its pydantic model, then against each other
(days that exist, checks that exist, identities used once). Every problem is reported with file,
line and what to do.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ladder.errors import ContentError, CurriculumError
from ladder.paths import content_root
from ladder.text import Text

Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Points = Annotated[float, Field(gt=0, le=100)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Title(Strict):
    """A title in both languages."""

    en: Annotated[str, Field(min_length=1)]
    zh: Annotated[str, Field(min_length=1)]

    @property
    def text(self) -> Text:
        return Text(self.en, self.zh)


class Exercise(Strict):
    """One exercise cell: the names that are cut to stubs, and its checks with their points."""

    id: Slug
    title: Title
    names: Annotated[list[str], Field(min_length=1)]
    checks: Annotated[dict[str, Points], Field(min_length=1)]


class Written(Strict):
    """A manually graded answer in words."""

    id: Slug
    title: Title
    points: Points


class Day(Strict):
    """A day of the pool; without exercises it is planned but not built."""

    id: Annotated[str, Field(pattern=r"^day\d{2,3}_[a-z0-9_]+$")]
    title: Title
    needs: list[str] = []
    exercises: list[Exercise] = []
    written: list[Written] = []

    @property
    def built(self) -> bool:
        return bool(self.exercises)

    @property
    def number(self) -> int:
        return int(self.id[3:].split("_")[0])

    @property
    def checks(self) -> dict[str, float]:
        """Points of every check, in order."""
        return {name: points for ex in self.exercises for name, points in ex.checks.items()}

    def exercise_of(self, check: str) -> Exercise:
        return next(ex for ex in self.exercises if check in ex.checks)

    def exercise(self, name: str) -> Exercise:
        """The exercise called ``name``, or that asks for the public name ``name``."""
        for ex in self.exercises:
            if name == ex.id or name in ex.names:
                return ex
        raise ContentError(unknown("exercise", name, [ex.id for ex in self.exercises],
                                   f"in {self.id}"))


class Stage(Strict):
    id: Slug
    title: Title
    days: list[Day]


class JournalPage(Strict):
    """A page of the learner's journal; boxes that no check can tick are ticked there by hand."""

    id: Slug
    title: Title
    prompts: Annotated[list[Title], Field(min_length=1)]


class GatePart(Strict):
    """One half of a gate. ``needs`` holds checks (``slug.check``), or the whole day (``slug``) as long
    as it is not built and its checks are not chosen. ``tasks`` replaces docstrings that tell too much
    for a self-test."""

    id: Slug
    title: Title
    needs: Annotated[list[str], Field(min_length=1)]
    draw: Annotated[int, Field(ge=1, le=20)] = 5
    note: Title | None = None
    tasks: dict[str, Title] = {}

    @property
    def days(self) -> list[str]:
        return list(dict.fromkeys(need.partition(".")[0] for need in self.needs))

    def waits(self, days: Mapping[str, Day]) -> list[str]:
        """The days that this part waits for: not built, or built and none of their checks chosen."""
        return list(dict.fromkeys(
            slug for slug, _, check in (need.partition(".") for need in self.needs)
            if not check or not days[slug].built))


class Gate(Strict):
    """A self-test with a time box: checks of days, and questions from the bank in ``questions``."""

    id: Slug
    title: Title
    minutes: Annotated[int, Field(gt=0, le=600)]
    questions: str = ""
    parts: Annotated[list[GatePart], Field(min_length=1)]

    @property
    def days(self) -> list[str]:
        return list(dict.fromkeys(slug for part in self.parts for slug in part.days))

    def waits(self, days: Mapping[str, Day]) -> list[str]:
        """The days that the gate waits for; it cannot be passed before they are built."""
        return list(dict.fromkeys(slug for part in self.parts for slug in part.waits(days)))


class Curriculum(Strict):
    """The pool of days, the journal's pages, the gates and the names of the roadmap files."""

    stages: Annotated[list[Stage], Field(min_length=1)]
    journal: list[JournalPage] = []
    gates: list[Gate] = []
    roadmaps: list[str] = []

    @property
    def days(self) -> list[Day]:
        return [day for stage in self.stages for day in stage.days]

    @property
    def built_days(self) -> list[Day]:
        return [day for day in self.days if day.built]

    def day(self, name: str) -> Day:
        """The day with this slug, number, notebook or unambiguous start (``3``, ``day3``, ``day03_t``)."""
        wanted = Path(name.strip()).name.removesuffix(".ipynb").removesuffix(".zh")
        number = re.fullmatch(r"(?:day)?([0-9]{1,6})", wanted)
        for day in self.days:
            if wanted == day.id or (number and int(number[1]) == day.number):
                return day
        close = [day for day in self.days if wanted and day.id.startswith(wanted)]
        if len(close) == 1:
            return close[0]
        near = [] if number else [day.id for day in self.days]
        raise ContentError(unknown("day", name, near, "(see `ladder list --all`)"))

    def built_day(self, name: str) -> Day:
        """As :meth:`day`, for what only a built day has."""
        day = self.day(name)
        if not day.built:
            last = f"; the last built day is {self.built_days[-1].id}" if self.built_days else ""
            raise ContentError(f"{day.id} is planned but not built yet{last}")
        return day

    def stage_of(self, day: Day) -> Stage:
        return next(stage for stage in self.stages if day in stage.days)

    def all_needs(self, day: Day) -> set[str]:
        """The slugs of the days that ``day`` builds on, and of those that they build on."""
        found: set[str] = set()
        todo = list(day.needs)
        while todo:
            slug = todo.pop()
            if slug not in found:
                found.add(slug)
                todo += self.day(slug).needs
        return found

    def gate(self, name: str) -> Gate:
        """The gate of this name, in any case, or of this unambiguous start."""
        wanted = name.strip().casefold().removeprefix("gate.")
        close = [gate for gate in self.gates if wanted and gate.id.startswith(wanted)]
        for gate in self.gates:
            if wanted == gate.id or close == [gate]:
                return gate
        raise ContentError(unknown("gate", name, [gate.id for gate in self.gates],
                                   "(see `ladder gate`)"))


class Box(Strict):
    """One line of a roadmap. ``needs`` holds checks (``slug.check``), whole days (``slug``) or gates
    (``gate.name``)."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+-\d+$")]
    title: Title
    checkbox: bool = False
    needs: list[str] = []
    journal: list[str] = []
    target: Title | None = None


class Section(Strict):
    title: Title
    boxes: list[Box]


class Roadmap(Strict):
    id: Slug
    title: Title
    sections: list[Section]

    @property
    def boxes(self) -> list[Box]:
        return [box for section in self.sections for box in section.boxes]


@dataclass(frozen=True)
class Source:
    """A YAML file, kept so that an error can name the line of a key."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        root = content_root()
        return str(self.path.relative_to(root) if self.path.is_relative_to(root) else self.path)

    def line(self, where: Iterable[str | int]) -> int:
        """The line of the key or item at ``where``, or of the nearest parent that exists."""
        node = yaml.compose(self.text, Loader=yaml.CSafeLoader)
        line = node.start_mark.line + 1 if node else 1
        for step in where:
            child = _child(node, step)
            if child is None:
                break
            mark, node = child
            line = mark.line + 1
        return line

    def problem(self, where: Iterable[str | int], message: str) -> str:
        where = tuple(where)
        return f"{self.name}:{self.line(where)}: {_dotted(where)}: {message}"


def _child(node: Any, step: str | int) -> Any:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark, node.value[step]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark, value
    return None


def _dotted(where: tuple[str | int, ...]) -> str:
    text = ""
    for step in where:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text or "the file"


def read_source(path: Path) -> Source:
    try:
        return Source(path, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CurriculumError(f"{path} does not exist; restore it with `git checkout {path.name}`"
                              ) from None
    except UnicodeDecodeError as error:
        raise CurriculumError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8"
                              ) from None


def parse(source: Source, model: type[Any]) -> Any:
    """Validate one file against its model."""
    try:
        loader = yaml.CSafeLoader(source.text)
        node = loader.get_single_node()
        data = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        raise CurriculumError(f"{source.name}:{line}: not valid YAML: {error.problem}; "
                              "check indentation, quotes and brackets there") from None
    except yaml.YAMLError as error:
        raise CurriculumError(f"{source.name}: not valid YAML: {error}") from None
    if repeated := [f"{source.name}:{line}: the key {key!r} stands twice here, and YAML would drop the "
                    "first; remove or rename one" for key, line in _repeated_keys(node)]:
        raise CurriculumError("\n".join(repeated))
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [source.problem(e["loc"], _mend(e)) for e in error.errors()]
        raise CurriculumError("\n".join(problems)) from None


def _repeated_keys(root: Any) -> Iterator[tuple[str, int]]:
    todo, visited = [root], set()
    while todo:
        node = todo.pop()
        if id(node) in visited:  # an alias
            continue
        visited.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += node.value
        elif isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                todo.append(value)
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        yield key.value, key.start_mark.line + 1
                    seen.add(key.value)


def _mend(error: Any) -> str:
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden":
        return "this key is not known here; remove it or correct its spelling"
    if kind == "missing":
        return "this key is missing; add it"
    if kind == "string_pattern_mismatch":
        return f"{error['input']!r} does not match {error['ctx']['pattern']}"
    return f"{message[0].lower()}{message[1:]} (found {error['input']!r:.60})"


def load_curriculum(path: Path | None = None) -> Curriculum:
    """Read and validate curriculum.yaml (cached for the repository's own)."""
    return _load_curriculum(path or content_root() / "curriculum.yaml")


@functools.cache
def _load_curriculum(path: Path) -> Curriculum:
    source = read_source(path)
    curriculum = parse(source, Curriculum)
    problems = list(_curriculum_problems(source, curriculum))
    if problems:
        raise CurriculumError("\n".join(problems))
    return curriculum


def _curriculum_problems(source: Source, curriculum: Curriculum) -> Iterator[str]:
    seen: set[str] = set()
    numbers: set[int] = set()
    known = {day.id for day in curriculum.days}
    for s, stage in enumerate(curriculum.stages):
        for d, day in enumerate(stage.days):
            here: tuple[str | int, ...] = ("stages", s, "days", d)
            if day.id in seen:
                yield source.problem((*here, "id"), f"{day.id} stands twice; slugs are identity")
            elif day.number in numbers:
                yield source.problem((*here, "id"), f"another day has the number {day.number}; "
                                                    "`ladder check NUMBER` must mean one")
            numbers.add(day.number)
            for n, need in enumerate(day.needs):
                if need not in seen:
                    why = ("it comes later; a day may need earlier days only" if need in known
                           else unknown("day", need, sorted(known)))
                    yield source.problem((*here, "needs", n), f"{need}: {why}")
            seen.add(day.id)
            ids = [ex.id for ex in day.exercises] + [w.id for w in day.written]
            ids += [name for ex in day.exercises for name in ex.checks]
            for name, times in Counter(ids).items():
                if times > 1:
                    yield source.problem(here, f"{name} stands {times} times in {day.id}; names of "
                                               "exercises, checks and answers are used once a day")
            for e, ex in enumerate(day.exercises):
                for name in ex.checks:
                    if not name.startswith("check_"):
                        yield source.problem((*here, "exercises", e, "checks", name),
                                             f"call it check_{name}; checks start with check_")
    for page, times in Counter(page.id for page in curriculum.journal).items():
        if times > 1:
            yield source.problem(("journal",), f"the page {page} stands {times} times")
    yield from _gate_problems(source, curriculum)


def _gate_problems(source: Source, curriculum: Curriculum) -> Iterator[str]:
    days = {day.id: day for day in curriculum.days}
    for name, times in Counter(gate.id for gate in curriculum.gates).items():
        if times > 1:
            yield source.problem(("gates",), f"the gate {name} stands {times} times")
    for g, gate in enumerate(curriculum.gates):
        for name, times in Counter(part.id for part in gate.parts).items():
            if times > 1:
                yield source.problem(("gates", g, "parts"), f"the part {name} stands {times} times")
        for p, part in enumerate(gate.parts):
            for n, need in enumerate(part.needs):
                here = ("gates", g, "parts", p, "needs", n)
                slug, _, check = need.partition(".")
                if slug not in days:
                    yield source.problem(here, unknown("day", slug, list(days)))
                elif check and days[slug].built and check not in days[slug].checks:
                    yield source.problem(here, unknown("check", check, list(days[slug].checks),
                                                       f"in {slug}"))


def load_roadmaps(curriculum: Curriculum | None = None, root: Path | None = None) -> list[Roadmap]:
    """Read and validate the roadmap files that the curriculum names."""
    root = root or content_root()
    curriculum = curriculum or load_curriculum()
    roadmaps: list[Roadmap] = []
    problems: list[str] = []
    seen: set[str] = set()
    for name in curriculum.roadmaps:
        source = read_source(root / name)
        roadmap = parse(source, Roadmap)
        problems += _roadmap_problems(source, roadmap, curriculum, seen)
        roadmaps.append(roadmap)
    if problems:
        raise CurriculumError("\n".join(problems))
    return roadmaps


def _roadmap_problems(
    source: Source, roadmap: Roadmap, curriculum: Curriculum, seen: set[str]
) -> Iterator[str]:
    days = {day.id: day.checks for day in curriculum.days}
    pages = {page.id for page in curriculum.journal}
    gates = [gate.id for gate in curriculum.gates]
    for s, section in enumerate(roadmap.sections):
        for b, box in enumerate(section.boxes):
            here: tuple[str | int, ...] = ("sections", s, "boxes", b)
            if box.id in seen:
                yield source.problem((*here, "id"), f"the box {box.id} stands twice")
            seen.add(box.id)
            if not box.needs and not box.journal:
                yield source.problem(here, "nothing ticks this box; give it needs or a journal page")
            for n, need in enumerate(box.needs):
                slug, _, check = need.partition(".")
                if slug == "gate":
                    if check not in gates:
                        yield source.problem((*here, "needs", n), unknown("gate", check, gates))
                elif slug not in days:
                    yield source.problem((*here, "needs", n), unknown("day", slug, list(days)))
                elif check and check not in days[slug]:
                    yield source.problem((*here, "needs", n),
                                         unknown("check", check, list(days[slug]), f"in {slug}"))
            for n, page in enumerate(box.journal):
                if page not in pages:
                    yield source.problem((*here, "journal", n),
                                         unknown("journal page", page, list(pages)))


def unknown(kind: str, name: str, known: list[str], where: str = "") -> str:
    """'there is no day X', with the nearest names that exist."""
    near = difflib.get_close_matches(name, known, 2, 0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there is no {kind} {name!r} {where}".rstrip() + hint
