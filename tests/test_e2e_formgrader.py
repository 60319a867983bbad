"""A grader's afternoon in a real browser: nbgrader's formgrader, one manual cell, the feedback page.

The submission attacks its grader with scripts in markdown, in a raw cell and in outputs; none runs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import tiny
from broken import DAY, at, cell, code, solved

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("formgrader"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the formgrader was not checked in a browser"),
]
SHOTS = os.environ.get("LADDER_SHOTS")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
RUN = "window.ran = 1; document.title = 'OWNED'"
ATTACKS = (
    f"<script>{RUN}</script>", f"<img src=x onerror=\"{RUN}\">", f"<svg/onload=\"{RUN}\">",
    f"[link](javascript:{RUN.replace(' ', '')})", f"<iframe srcdoc=\"<script>parent.{RUN}</script>\"></iframe>",
    f"<details open ontoggle=\"{RUN}\">", f"$\\href{{javascript:{RUN}}}{{x}}$",
    "<form action='/formgrader/api/grade/1'><input name=score></form>", "![far](https://evil.example/seen.png)",
    "<div class='nbgrader_cell' id='why'>fake</div>", "<style>body {display: none}</style>",
)
ANSWER = "Because squares are never negative, $a^2 + b^2 \\ge 0$ and **so** it goes.\n\n"


@dataclass
class Graded:
    course: Path
    env: dict[str, str]
    site: Path


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Graded:
    folder = tmp_path_factory.mktemp("formgrader")
    env = tiny.install(folder / "site") | {
        name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    answer = tiny.run(["ladder", "publish", "course", "--days", "2"], folder, env)
    assert answer.returncode == 0, answer.stderr
    course = folder / "course"
    book = solved(json.loads((course / "release" / DAY / f"{DAY}.ipynb").read_text()))
    cell(book, "mean")["source"] = "def row_mean(A):\n    return A.sum(axis=0) / A.shape[1]\n"
    cell(book, "why")["source"] = ANSWER + "\n\n".join(ATTACKS)
    outputs = ["from IPython.display import HTML, Markdown, Javascript, display", *(
        f"display({kind}({attack!r}))" for attack in ATTACKS for kind in ("HTML", "Markdown")),
        f"display(Javascript({RUN!r}))", f"print({ATTACKS[0]!r})"]
    book["cells"].insert(at(book, "pair"), code("\n".join(outputs)))
    for kind in ("markdown", "raw"):
        book["cells"] += [{"cell_type": kind, "metadata": {}, "source": attack} for attack in ATTACKS]
    target = course / "submitted" / "ada" / DAY
    target.mkdir(parents=True)
    (target / f"{DAY}.ipynb").write_text(json.dumps(book))
    answer = tiny.run(["nbgrader", "autograde", DAY], course, env)
    assert answer.returncode == 0, answer.stderr[-3000:]
    return Graded(course, env, folder)


@pytest.fixture
def formgrader(graded: Graded) -> Iterator[str]:
    """Jupyter Server with nbgrader's extension, in the course's folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = graded.site / "server.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser", f"--port={port}",
             "--IdentityProvider.token=grader",
             "--ServerApp.jpserver_extensions=nbgrader.server_extensions.formgrader=True"],
            cwd=graded.course, env=graded.env, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.time() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token=grader", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None and time.time() < deadline, log.read_text()[-3000:]
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def page() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context()
        context.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: (
            wanted.append(route.request.url), route.abort()))
        wanted: list[str] = []
        found = context.new_page()
        found.wanted = wanted
        yield found
        browser.close()


def nothing_ran(page: Any) -> None:
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran") is None and page.title() != "OWNED"
    assert not [url for url in page.wanted if "evil" in url]
    assert page.locator("#why.nbgrader_cell, iframe, form[action*=grade], #notebook [onerror]").count() == 0
    assert page.locator("body").is_visible()


def shoot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / name), full_page=True)


def asked(course: Path, query: str, name: str) -> tuple[Any, ...]:
    with sqlite3.connect(course / "gradebook.db") as database:
        return database.execute(query, [name]).fetchone()


def scores(course: Path, name: str) -> tuple[Any, ...]:
    return asked(course, "select auto_score, manual_score from grade join base_cell on grade.cell_id = "
                         "base_cell.id where name = ?", name)


def comment(course: Path, name: str) -> str | None:
    return asked(course, "select manual_comment from comment join base_cell on comment.cell_id = base_cell.id "
                         "where name = ?", name)[0]


def test_a_manual_cell_is_graded_and_the_feedback_says_so(graded: Graded, formgrader: str, page: Any) -> None:
    page.goto(f"{formgrader}/login?token=grader&next=/formgrader/gradebook/{DAY}/{DAY}")
    page.locator("a", has_text="Submission #1").click()
    page.wait_for_selector("#why")
    body = page.locator("#notebook-container")
    prose, answer = body.locator("text=Means and pairs"), body.get_by_text("Because squares are never negative")
    assert prose.count() and answer.is_visible(), "the rubric's prose and the learner's answer"
    assert answer.locator("strong", has_text="so").count() == 1, "markdown is still rendered"
    assert body.get_by_text("Which axis runs").count(), "the verdict's hint is in the grader's page"
    nothing_ran(page)
    shoot(page, "formgrader.png")
    assert page.locator("#check_row_mean").input_value() == "" and scores(graded.course, "why") == (None, None)
    score = page.locator("#why")
    score.fill("1.5")
    score.press("Tab")
    note = page.locator("#why-comment")
    note.fill("Clear; say *why* squares are not negative. <script>window.ran = 1</script>")
    note.press("Tab")
    page.locator(".nbgrader_cell", has=score).locator(".comment-saved").wait_for(state="visible")
    deadline = time.time() + 20
    while scores(graded.course, "why")[1] is None or comment(graded.course, "why") is None:
        assert time.time() < deadline, "the score or the comment did not reach the gradebook"
        page.wait_for_timeout(100)
    assert scores(graded.course, "why") == (None, 1.5)
    assert (comment(graded.course, "why") or "").startswith("Clear; say *why*")
    assert scores(graded.course, "check_row_mean") == (0.0, None), "the learner's scripts graded nothing"
    feedback_says_it(graded, page)


def feedback_says_it(graded: Graded, page: Any) -> None:
    answer = tiny.run(["nbgrader", "generate_feedback", DAY], graded.course, graded.env)
    assert answer.returncode == 0, answer.stderr[-3000:]
    path = graded.course / "feedback" / "ada" / DAY / f"{DAY}.html"
    page.goto(path.as_uri(), wait_until="domcontentloaded")
    nothing_ran(page)
    shoot(page, "feedback.png")
    text = page.locator("body").inner_text()
    for shown in ("Score: 7.0 / 12.5", "Score: 1.5 / 2.0", "Clear; say why squares", "not yet",
                  "0 of 4 points", "Which axis runs", "a further case 4", "needs a far machine",
                  "Because squares are never negative"):
        assert shown in text, shown
    html = path.read_text(encoding="utf-8")
    for secret in ("secret-large-offset", "31415", "ladder/judge.py", "cohort/grading.py", "vnd.ladder.observations"):
        assert secret not in html, f"{secret} stands in the feedback"
    held = page.locator("#notebook-container")
    assert held.locator("script, iframe, object, form, style, [onerror], [onload], [ontoggle]").count() == 0
    assert held.locator("a[href^='javascript:'], img[src^='http'], .MathJax_Preview a").count() == 0
    verdict = held.locator(".ladder-verdict").first
    assert "rgb" in verdict.evaluate("e => getComputedStyle(e).borderLeftColor"), "the verdict keeps its style"
    assert verdict.evaluate("e => getComputedStyle(e).borderLeftWidth") == "4px"
