"""Short questions of the gates: a bank in two languages, a draw by seed, and the judging of answers.

A question is a choice (``right`` and three ``wrong``) or asks for a number (``answer``). Its numbers
come from ``values``: of each list the seed draws one. ``{{n - 1}}`` in a text, ``answer`` and the
entries of ``let`` are arithmetic on them; nothing else is evaluated. Since the lists are finite,
:func:`faults` can try every combination.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from ladder.curriculum import Slug, Strict, Title, parse, read_source
from ladder.errors import CurriculumError
from ladder.text import Text, say

LETTERS = "ABCD"
LEAST = 6
"""Questions that a part's bank holds at least."""

Number = int | float


class Question(Strict):
    """One question of a bank; see the module's docstring."""

    id: Slug
    ask: Title
    values: dict[Slug, Annotated[list[Number], Field(min_length=1)]] = Field(default_factory=dict)
    let: dict[Slug, str] = Field(default_factory=dict)
    right: Title | None = None
    wrong: list[Title] = Field(default_factory=list)
    answer: str | None = None
    tolerance: Annotated[float, Field(ge=0, le=0.1)] = 0
    why: Title

    @model_validator(mode="after")
    def _one_kind(self) -> Question:
        if (self.right is None) == (self.answer is None):
            raise ValueError("give either `right` with three `wrong`, or `answer`")
        if len(self.wrong) != (3 if self.right else 0):
            raise ValueError("a choice has three `wrong` options, a number none")
        return self


class Bank(Strict):
    """The questions of a gate, by part."""

    parts: dict[Slug, list[Question]]


@dataclass(frozen=True)
class Drawn:
    """A question as one attempt asks it. ``key`` is the right letter, or the number."""

    id: str
    ask: Text
    options: tuple[Text, ...]
    key: str | float
    tolerance: float
    why: Text

    @property
    def answer(self) -> Text:
        """The right answer in words."""
        if isinstance(self.key, str):
            option = self.options[LETTERS.index(self.key)]
            return say(f"{self.key}: {option.en}", f"{self.key}：{option.zh}")
        return say(shown(self.key), shown(self.key))


def load_bank(path: Path) -> Bank:
    """Read and validate a bank; a problem names file and line."""
    source = read_source(path)
    bank: Bank = parse(source, Bank)
    problems = []
    for part, questions in bank.parts.items():
        seen: set[str] = set()
        for number, question in enumerate(questions):
            here = ("parts", part, number)
            if question.id in seen:
                problems.append(source.problem((*here, "id"), f"{question.id} stands twice"))
            seen.add(question.id)
            problems += [source.problem(here, fault) for fault in faults(question)]
    if problems:
        raise CurriculumError("\n".join(problems))
    return bank


def draw(bank: Bank, part: str, count: int, seed: str) -> list[Drawn]:
    """``count`` questions of a part, their numbers and the order of their options, all by ``seed``."""
    rng = random.Random(f"{seed}/{part}")
    chosen = rng.sample(bank.parts.get(part, []), count)
    return [_drawn(part, question, rng) for question in chosen]


def _drawn(part: str, question: Question, rng: random.Random) -> Drawn:
    values = {name: rng.choice(choices) for name, choices in question.values.items()}
    order = list(range(4))
    rng.shuffle(order)
    return instance(part, question, values, order)


def instance(part: str, question: Question, values: Mapping[str, Number], order: list[int]) -> Drawn:
    """The question for these values; ``order`` says which option stands where (0 is the right one)."""
    known = dict(values)
    for name, expression in question.let.items():
        known[name] = evaluate(expression, known)
    options: tuple[Text, ...] = ()
    key: str | float
    if question.right is not None:
        there = [question.right, *question.wrong]
        options = tuple(_filled(there[which], known) for which in order)
        key = LETTERS[order.index(0)]
    else:
        key = evaluate(question.answer or "", known)
    return Drawn(f"{part}.{question.id}", _filled(question.ask, known), options, key,
                 question.tolerance, _filled(question.why, known))


def difference(question: Drawn, given: Any) -> Text | None:
    """What is wrong with an answer (plain data from the learner's kernel), or nothing."""
    if given is None or given == "":
        return say("no answer", "没有作答")
    if isinstance(question.key, str):
        letter = unicodedata.normalize("NFKC", given).strip(" .:()\n\t").upper() if isinstance(
            given, str) else ""
        if letter not in list(LETTERS):
            return say(f"{_short(given)} is none of the letters A, B, C, D",
                       f"{_short(given)} 不是 A、B、C、D 中的一个字母")
        return None if letter == question.key else say(f"you chose {letter}", f"你选了 {letter}")
    number = _number(given)
    if number is None:
        return say(f"{_short(given)} is not a number", f"{_short(given)} 不是一个数")
    if math.isfinite(number) and math.isclose(number, question.key, rel_tol=question.tolerance + 1e-9,
                                              abs_tol=1e-9):
        return None
    return say(f"you gave {shown(number)}", f"你的答案是 {shown(number)}")


def _number(given: Any) -> float | None:
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        return None
    try:
        return float(unicodedata.normalize("NFKC", given).replace("−", "-")
                     if isinstance(given, str) else given)
    except (ValueError, OverflowError):
        return None


def _short(given: Any) -> str:
    words = repr(given)
    return words if len(words) <= 60 else words[:57] + "..."


def shown(number: Number) -> str:
    """A number as a question shows it: ``12``, ``0.25``, ``−3``."""
    text = f"{number:.6g}" if abs(number) < 1e6 else f"{number:,.0f}".replace(",", "")
    return text.replace("-", "−") if "e" not in text else text


HOLE = re.compile(r"\{\{(.+?)\}\}")


def _filled(title: Title, values: Mapping[str, Number]) -> Text:
    en, zh = (HOLE.sub(lambda hole: shown(evaluate(hole[1], values)), text).strip()
              for text in (title.en, title.zh))
    return Text(en, zh)


OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
    ast.USub: operator.neg,
}
FUNCTIONS: dict[str, Callable] = {
    "min": min, "max": max, "abs": abs, "ceil": math.ceil, "floor": math.floor, "sqrt": math.sqrt,
    "exp": math.exp, "log2": math.log2, "cos": math.cos, "sin": math.sin,
}


def evaluate(expression: str, values: Mapping[str, Number]) -> Any:
    """Arithmetic on the values and nothing else."""
    def value(node: ast.AST) -> Any:
        if isinstance(node, ast.Expression):
            return value(node.body)
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return node.value
        if isinstance(node, ast.Name) and node.id in values:
            return values[node.id]
        if isinstance(node, ast.Name) and node.id == "pi":
            return math.pi
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(node.operand))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and (
            node.func.id in FUNCTIONS and not node.keywords
        ):
            return FUNCTIONS[node.func.id](*map(value, node.args))
        raise CurriculumError(f"{expression.strip()!r} is no arithmetic on {', '.join(values) or 'numbers'}")

    try:
        return value(ast.parse(expression.strip(), mode="eval"))
    except (SyntaxError, ArithmeticError, ValueError, TypeError) as error:
        raise CurriculumError(f"{expression.strip()!r} cannot be computed: {error}") from None


def combinations(question: Question) -> Iterator[dict[str, Number]]:
    """Every set of values that the seed may draw."""
    for drawn in itertools.product(*question.values.values()):
        yield dict(zip(question.values, drawn, strict=True))


def faults(question: Question) -> list[str]:
    """What is wrong with a question for some of its values: the proof that its key is unique."""
    if math.prod(len(choices) for choices in question.values.values()) > 5000:
        return ["more than 5000 combinations of values; shorten the lists"]
    for values in combinations(question):
        try:
            made = instance("x", question, values, [0, 1, 2, 3])
        except CurriculumError as error:
            return [str(error)]
        where = f" for {values}" if values else ""
        for text in (made.ask, made.why, *made.options):
            for words in text:
                if not words or "{{" in words or "}}" in words:
                    return [f"a text is empty or keeps its braces{where}: {words[:60]!r}"]
        for language in ("en", "zh"):
            if len({_bare(option.in_(language)) for option in made.options}) < len(made.options):
                return [f"two options say the same in {language!r}{where}"]
        if not isinstance(made.key, str) and not math.isfinite(made.key):
            return [f"the answer is {made.key}{where}"]
    return []


def _bare(words: str) -> str:
    return "".join(words.casefold().split()).rstrip(".。")
