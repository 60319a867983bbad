"""Verdicts as a learner sees them: a small table in HTML and in plain text, in their language."""

from __future__ import annotations

from html import escape

from ladder.checks import Check
from ladder.judge import FAILED, NOT_CHECKED, PASSED, Row, Verdict
from ladder.text import say

WORDS = {
    PASSED: say("passed", "通过"),
    FAILED: say("not yet", "未通过"),
    NOT_CHECKED: say("not checked", "未检查"),
}
MARKS = {PASSED: "✓", FAILED: "✗", NOT_CHECKED: "–"}
COLOURS = {PASSED: "#0072b2", FAILED: "#d55e00", NOT_CHECKED: "#777777"}
CELL = "padding:.1em .7em .1em 0;text-align:left;vertical-align:top"  # nbgrader's pages reset these
SUMMARY = "display:list-item;cursor:pointer"
HIDDEN = say("a further case", "另一组用例")
HINT = say("Think about", "想一想")
MORE = say("right", "正确")
HELP = say("Stuck? In a terminal:", "卡住了？在终端中运行：")


def headline(verdict: Verdict, check: Check, language: str) -> str:
    right = sum(row.right for row in verdict.rows)
    counted = f" · {right}/{len(verdict.rows)}" if verdict.rows else ""
    return f"{MARKS[verdict.state]} {WORDS[verdict.state].in_(language)}{counted} · {check.name}"


def label_of(row: Row, number: int, language: str) -> str:
    """What a row is about; a hidden case does not give its input away."""
    return f"{HIDDEN.in_(language)} {number}" if row.hidden else row.label.in_(language)


def differs(row: Row, language: str) -> str:
    """What is wrong with a row, or nothing; of a hidden case only that it differs."""
    if row.difference is None:
        return ""
    if row.hidden:
        return say("differs here", "此处结果不同").in_(language)
    return row.difference.in_(language)


def text(verdict: Verdict, check: Check, language: str = "en") -> str:
    """The verdict for a terminal, or for a notebook without HTML."""
    lines = [headline(verdict, check, language)]
    if verdict.reason is not None:
        lines.append(f"  {verdict.reason.in_(language)}")
    for number, row in enumerate(verdict.rows, 1):
        mark = MARKS[PASSED if row.right else FAILED]
        tail = differs(row, language)
        lines.append(f"  {mark} {label_of(row, number, language)}" + (f": {tail}" if tail else ""))
    if verdict.hint is not None:
        lines.append(f"  → {HINT.in_(language)}: {verdict.hint.in_(language)}")
    return "\n".join(lines)


def html(verdict: Verdict, check: Check, language: str = "en", points: str = "") -> str:
    """The verdict as one self-contained block with inline styles (feedback pages strip others)."""
    colour = COLOURS[verdict.state]
    parts = [
        f'<div class="ladder-verdict" style="border-left:4px solid {colour};padding:.3em .8em;'
        'margin:.3em 0;max-width:60em">',
        f'<div style="color:{colour};font-weight:600">{escape(headline(verdict, check, language))}'
        f"{escape(points)}</div>",
    ]
    if verdict.reason is not None:
        parts.append(f"<div>{code(verdict.reason.in_(language))}</div>")
    wrong = [(n, row) for n, row in enumerate(verdict.rows, 1) if not row.right]
    right = [(n, row) for n, row in enumerate(verdict.rows, 1) if row.right]
    if wrong:
        parts.append(_table(wrong, language))
    if verdict.hint is not None:
        parts.append(f'<div style="margin:.4em 0"><b>{HINT.in_(language)}</b>: '
                     f"{code(verdict.hint.in_(language))}</div>")
    if right and not verdict.passed:
        parts.append(f'<details><summary style="{SUMMARY}">{len(right)} {MORE.in_(language)}</summary>'
                     f"{_table(right, language)}</details>")
    elif right:
        parts.append(f'<details><summary style="{SUMMARY}">{escape(check.title)}</summary>'
                     f"{_table(right, language)}</details>")
    parts.append("</div>")
    return "".join(parts)


def _table(rows: list[tuple[int, Row]], language: str) -> str:
    body = []
    for number, row in rows:
        state = PASSED if row.right else FAILED
        body.append(
            f'<tr><td style="{CELL};color:{COLOURS[state]}">{MARKS[state]}</td>'
            f'<td style="{CELL}">{code(label_of(row, number, language))}</td>'
            f'<td style="{CELL}">{code(differs(row, language))}</td></tr>'
        )
    return ('<table style="border-collapse:collapse;margin:.2em 0"><tbody>'
            + "".join(body) + "</tbody></table>")


def code(words: str) -> str:
    """Escape, and set what stands between backquotes as code."""
    pieces = escape(words).split("`")
    if len(pieces) % 2 == 0:
        return escape(words)
    return "".join(f"<code>{piece}</code>" if i % 2 else piece for i, piece in enumerate(pieces))
