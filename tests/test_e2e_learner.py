"""A learner's first half hour, in a real browser: start, a wrong answer, its hint, the right one.

`ladder start` serves Day 1 in JupyterLab; Chromium types into it; the box of the roadmap is ticked.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ladder.build import build
from ladder.curriculum import load_curriculum

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)
SHOTS = os.environ.get("LADDER_SHOTS")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the browser was not checked"),
]
DAY = "day01_matrix_calculus"
SAID = {
    "en": {"wrong": "not yet", "right": "passed", "hint": "Think about"},
    "zh": {"wrong": "未通过", "right": "通过", "hint": "想一想"},
}


def ladder(*words: str, env: dict[str, str]) -> str:
    return subprocess.run([sys.executable, "-m", "ladder", *words], env=env, text=True,
                          capture_output=True, check=True, timeout=300).stdout


@pytest.fixture
def lab(tmp_path, request):
    """JupyterLab as `ladder start` starts it; gives the environment and the address."""
    language = request.param
    env = {**os.environ, "LADDER_WORK": str(tmp_path / "work"), "LADDER_LANG": language,
           "JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_DATA_DIR": str(tmp_path / "data"),
           "IPYTHONDIR": str(tmp_path / "ipython")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "ladder", "start", "1", "--no-browser", f"--port={port}"],
            env=env, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.time() + 90
        while not (found := re.search(r"http://\S+\?token=\w+", log.read_text())):
            assert server.poll() is None and time.time() < deadline, log.read_text()
            time.sleep(0.3)
        yield env, language, found[0]
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.parametrize("lab", ["en", "zh"], indirect=True)
def test_wrong_answer_hint_right_answer_tick(lab):
    from playwright.sync_api import sync_playwright

    env, language, address = lab
    words = SAID[language]
    finished = json.loads(build(load_curriculum().day(DAY), language, solved=True))
    right = next("".join(cell["source"]) for cell in finished["cells"]
                 if cell["id"] == "ex-jacobian_fd")
    wrong = right.replace("- f(x - step)) / (2 * eps)", "- f(x)) / eps")
    assert wrong != right, "the known mistake no longer fits the reference"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=[
            "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address, wait_until="domcontentloaded", timeout=90_000)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=90_000)
        run_cell(page, "begin(")
        write_cell(page, "def jacobian_fd", wrong)
        verdict = run_cell(page, "check_jacobian_fd(")
        verdict.get_by_text(words["wrong"]).first.wait_for(timeout=60_000)
        verdict.get_by_text(words["hint"]).first.wait_for(timeout=10_000)
        assert "Traceback" not in verdict.inner_text()
        shoot(page, verdict, f"verdict{'' if language == 'en' else '.zh'}.png")
        write_cell(page, "def jacobian_fd", right)
        verdict = run_cell(page, "check_jacobian_fd(")
        verdict.get_by_text(re.compile("✓ " + words["right"])).first.wait_for(timeout=60_000)
        browser.close()
    states = json.loads(ladder("list", "--json", env=env))
    assert next(row for row in states if row["day"] == DAY)["passed"] == 1
    check_whole_day(env, language)


def check_whole_day(env: dict[str, str], language: str) -> None:
    """Solve the rest on disk, run `ladder check`, and see a box of the roadmap ticked."""
    name = f"{DAY}.ipynb" if language == "en" else f"{DAY}.zh.ipynb"
    path = Path(env["LADDER_WORK"]) / name
    day = load_curriculum().day(DAY)
    path.write_text(build(day, language, solved=True))
    report = json.loads(ladder("check", "1", "--json", env=env))
    assert {row["state"] for row in report[DAY]} == {"passed"}
    markdown = ladder("progress", "--markdown", env=env)
    assert re.search(r"- \[x\] .*(softmax|Softmax)", markdown), markdown[:2000]


def cell_with(page, text: str):
    cell = page.locator(".jp-CodeCell", has_text=text).first
    for _ in range(60):
        if cell.count():
            break
        page.locator(".jp-WindowedPanel-outer").first.evaluate("e => e.scrollBy(0, 400)")
        page.wait_for_timeout(100)
    cell.scroll_into_view_if_needed()
    return cell


def write_cell(page, text: str, source: str) -> None:
    """Replace a cell's source and run it; JupyterLab may still be drawing, so look whether the words arrived."""
    cell = cell_with(page, text)
    last = source.strip().splitlines()[-1].strip()
    for _ in range(5):
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(source)
        page.wait_for_timeout(200)
        if last in cell.locator(".cm-content").inner_text():
            break
    press_run(page, cell)


def run_cell(page, text: str):
    cell = cell_with(page, text)
    press_run(page, cell)
    return cell


def press_run(page, cell) -> None:
    """Run a cell, again if the keys went elsewhere: its prompt tells whether it runs or ran."""
    prompt = cell.locator(".jp-InputPrompt").first
    before = prompt.inner_text()
    for _ in range(5):
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        for _ in range(50):
            if prompt.inner_text() != before:
                return
            page.wait_for_timeout(100)
    raise AssertionError(f"the cell does not run: {before}")


def shoot(page, verdict, name: str) -> None:
    if SHOTS:
        verdict.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        page.screenshot(path=str(Path(SHOTS) / name))
