"""The notebook of one attempt at a gate: stubs, questions, and a cell for the answers.

A pure function of the content and the attempt's record. It holds no hint, no explanation, no key,
and nothing that the learner wrote before.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ladder import content
from ladder.build import BANNER, _code, _lines, _rest, read_day
from ladder.checks import Check
from ladder.curriculum import Curriculum, Day, Gate, GatePart
from ladder.errors import LessonError
from ladder.forbids import KERNEL
from ladder.gates import NEEDED, Attempt, bank_path, ready_parts
from ladder.lesson import Lesson
from ladder.questions import LETTERS, Drawn, draw, load_bank
from ladder.stub import Cutter
from ladder.text import Text, say

ALLOWED = ("ladder.notebook", "ladder.gate_kernel", "ladder.triton", "ladder.kernel_judge.bridge")
"""What a gate's notebook may import of the tool."""


def drawn_questions(gate: Gate, attempt: Attempt) -> list[Drawn]:
    """The questions of an attempt, in the order q1, q2, ..."""
    bank = load_bank(bank_path(gate))
    return [question for part in gate.parts if part.id in attempt.parts
            for question in draw(bank, part.id, part.draw, attempt.seed)]


def checks_of_part(part: GatePart, curriculum: Curriculum) -> list[Check]:
    found = []
    for need in part.needs:
        slug, _, name = need.partition(".")
        found.append(content.checks_of(curriculum.stage_of(curriculum.day(slug)).id, slug)[name])
    return found


def asks_kernels(parts: Iterable[GatePart], curriculum: Curriculum) -> bool:
    """Whether the parts ask for Triton kernels."""
    return any(KERNEL in check.forbids for part in parts for check in checks_of_part(part, curriculum))


def cannot_be_judged(parts: Sequence[GatePart], curriculum: Curriculum) -> Text | None:
    """Why checks of the parts would say "not checked" on this machine."""
    from ladder.kernel_judge.bridge import NO_TRITON, have_triton

    return NO_TRITON if not have_triton() and asks_kernels(parts, curriculum) else None


def notebook(gate: Gate, attempt: Attempt, curriculum: Curriculum, *,
             solved: bool = False) -> dict[str, Any]:
    """The notebook as nbformat 4.5 data; ``solved`` keeps the reference's bodies, for tests."""
    language = attempt.language
    parts = [part for part in ready_parts(gate, curriculum) if part.id in attempt.parts]
    tasks = {name: title.text.in_(language) for part in parts for name, title in part.tasks.items()}
    sources = _Sources(curriculum, language, solved, tasks)
    stubs = [cell for part in parts for cell in _stubs(part, gate, sources)]
    questions = drawn_questions(gate, attempt)
    kernels = asks_kernels(parts, curriculum)
    if kernels:
        sources.imports["from ladder.kernel_judge.bridge import report, strict"] = None
    cells = [
        _markdown("gate", _head(gate, attempt, parts, len(questions), kernels), language),
        _given("setup", _setup(gate, language, sources.imports)),
        *stubs,
        _markdown("questions", _asked(questions), language),
        _code("answers", _answers(questions, language)),
        _given("submitted", _submitted(gate, language)),
    ]
    return {
        "nbformat": 4, "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)",
                           "language": "python"},
            "language_info": {"name": "python"},
            "ladder": {"gate": gate.id, "attempt": attempt.number, "language": language},
        },
        "cells": cells,
    }


class _Sources:
    """The days that a gate draws on, each read once, and what has been given of them."""

    def __init__(self, curriculum: Curriculum, language: str, solved: bool,
                 tasks: Mapping[str, str]) -> None:
        self.curriculum, self.language, self.solved, self.tasks = curriculum, language, solved, tasks
        self.days: dict[str, tuple[Day, Lesson, Cutter]] = {}
        self.imports: dict[str, None] = {}
        self.shown: set[tuple[str, str]] = set()

    def of(self, slug: str) -> tuple[Day, Lesson, Cutter]:
        if slug not in self.days:
            day = self.curriculum.day(slug)
            lesson, solution = read_day(day, self.curriculum)
            docstrings = lesson.docstrings if self.language == "zh" else {}
            self.days[slug] = day, lesson, Cutter(
                solution, {ex.id: ex.names for ex in day.exercises}, {**docstrings, **self.tasks})
            self.imports.update(dict.fromkeys(_imports(solution)))
        return self.days[slug]


def _imports(solution: str) -> Iterable[str]:
    """The import statements of a solution, which its signatures need; not those of other days."""
    for node in ast.parse(solution).body:
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "triton" for alias in node.names):
            yield "from ladder.triton import tl, triton"
        elif isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level):
            yield ast.unparse(node)


def _stubs(part: GatePart, gate: Gate, sources: _Sources) -> Iterable[dict[str, Any]]:
    note = f"\n\n{part.note.en}" if part.note else "", f"\n\n{part.note.zh}" if part.note else ""
    yield _markdown(f"part-{part.id}", say(f"## {part.id.upper()} · {part.title.en}{note[0]}",
                                           f"## {part.id.upper()} · {part.title.zh}{note[1]}"),
                    sources.language)
    for check in checks_of_part(part, sources.curriculum):
        day, lesson, cutter = sources.of(check.slug)
        exercise = day.exercise_of(check.name)
        if (day.id, exercise.id) in sources.shown:
            continue
        sources.shown.add((day.id, exercise.id))
        cell = lesson.named("exercise", exercise.id)[0]
        tops = {name.split(".")[0] for name in exercise.names}
        names = [name for name in cell.imports if name in tops or name in check.needs]
        for name in (n for n in exercise.names if "." in n):
            _first_exercise_is_there(name, day, gate, sources)
        yield _markdown(f"task-{exercise.id}", exercise.title.text, sources.language, "### ")
        yield _code(f"ex-{exercise.id}", cutter.cell(exercise.id, names, sources.solved)
                    + _rest(cell))


def _first_exercise_is_there(name: str, day: Day, gate: Gate, sources: _Sources) -> None:
    owner = name.split(".")[0]
    first = next(ex.id for ex in day.exercises
                 if any(n.split(".")[0] == owner for n in ex.names))
    if (day.id, first) not in sources.shown:
        raise LessonError(f"the gate {gate.id} asks for {name} of {day.id}, whose class {owner} begins "
                          f"with the exercise {first}; name a check of {first} before it")


def _setup(gate: Gate, language: str, imports: Iterable[str]) -> str:
    return "\n".join([BANNER[language], *imports, "from ladder.notebook import method_of",
                      "from ladder.gate_kernel import begin, judged_later", "",
                      f'begin("{gate.id}", language="{language}")'])


def _head(gate: Gate, attempt: Attempt, parts: Sequence[GatePart], questions: int, kernels: bool) -> Text:
    start, stop = (moment.astimezone().strftime("%Y-%m-%d %H:%M %Z").strip()
                   for moment in (attempt.started, attempt.deadline))
    en, zh = [], []
    left_out = [part for part in gate.parts if part not in parts]
    if left_out:
        names = ", ".join(part.id.upper() for part in left_out)
        en.append(f"- This attempt is for practice: part {names} cannot be taken yet, so the gate cannot "
                  "be passed.")
        zh.append(f"- 本次只是练习：{names} 部分还不能考，因此这一关还不能通过。")
    if kernels:
        en.append("- Kernels need no GPU: `strict(launcher, arguments)` interprets them, returns what the launcher "
                  "returns, and raises an error for a wrong access; `report(launcher, arguments).findings` lists all "
                  "that was found. Cells that define kernels and launchers use nothing but `tl`, `triton`, `math`, "
                  "plain Python and torch's memory.")
        zh.append("- kernel 不需要 GPU：`strict(启动函数, 参数)` 解释执行它们，返回启动函数的返回值，访存有错就抛出错误；"
                  "`report(启动函数, 参数).findings` 列出发现的全部问题。定义 kernel 与启动函数的代码只能使用 `tl`、`triton`、"
                  "`math`、普通 Python 以及 torch 的内存分配。")
    return say(
        f"# {gate.title.en} gate, attempt {attempt.number}\n\n"
        f"{attempt.minutes:g} minutes, from **{start}** to **{stop}**. The clock runs on when this "
        "notebook is closed and when the machine is off.\n\n" + "\n".join([
            *en,
            "- From memory: without hints, without your earlier notebooks. Checks show nothing here; test "
            "your code yourself.",
            f"- Write the functions, answer the {questions} questions, save, then run "
            f"`ladder gate {gate.id} --finish` in a terminal. It runs this notebook in a fresh kernel, on "
            "fresh inputs and hidden cases.",
            f"- Passed: every check passes, and at least {NEEDED} % of the questions are right, in time.",
            f"- `ladder gate {gate.id} --give-up` ends the attempt.",
        ]),
        f"# {gate.title.zh}，第 {attempt.number} 次\n\n"
        f"限时 {attempt.minutes:g} 分钟，**{start}** 开始，**{stop}** 截止。关闭笔记本或关机都不会让计时停下。\n\n"
        + "\n".join([
            *zh,
            "- 凭记忆完成：没有提示，也不看以前的笔记本。这里的检查不显示结果，请自己测试代码。",
            f"- 写完函数，回答 {questions} 道题，保存，然后在终端运行 `ladder gate {gate.id} --finish`。"
            "它会在全新的内核中，用新的输入和隐藏用例运行这个笔记本。",
            f"- 通过的条件：在时限内，全部检查通过，且至少 {NEEDED} % 的题答对。",
            f"- `ladder gate {gate.id} --give-up` 放弃本次。",
        ]))


def _asked(questions: Sequence[Drawn]) -> Text:
    en, zh = ["## Questions"], ["## 问答题"]
    for number, question in enumerate(questions, 1):
        for lines, language in ((en, "en"), (zh, "zh")):
            lines.append(f"**q{number}.** {question.ask.in_(language)}")
            if question.options:
                lines.append("\n".join(f"- **{letter}** {option.in_(language)}" for letter, option in
                                       zip(LETTERS, question.options, strict=True)))
    return say("\n\n".join(en), "\n\n".join(zh))


def _answers(questions: Sequence[Drawn], language: str) -> str:
    letter = say("a letter: A, B, C or D", "填字母：A、B、C 或 D").in_(language)
    number = say("a number", "填一个数").in_(language)
    lines = [f'    "q{n}": {"None" if not q.options else chr(34) * 2},  # {letter if q.options else number}'
             for n, q in enumerate(questions, 1)]
    return "\n".join(["answers = {", *lines, "}"])


def _submitted(gate: Gate, language: str) -> str:
    said = say(f"# Nothing is judged here: `ladder gate {gate.id} --finish` judges what you submit.",
               f"# 这里不评判：提交的答案由 `ladder gate {gate.id} --finish` 评判。")
    return f"{said.in_(language)}\njudged_later()"


def _given(identity: str, source: str) -> dict[str, Any]:
    """A cell that is ours; JupyterLab keeps it from being edited or deleted by accident."""
    cell = _code(identity, source)
    cell["metadata"] = {"editable": False, "deletable": False}
    return cell


def _markdown(identity: str, text: Text, language: str, before: str = "") -> dict[str, Any]:
    return {"cell_type": "markdown", "id": identity, "metadata": {},
            "source": _lines(before + text.in_(language))}
