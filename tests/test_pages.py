"""What a learner wrote, as HTML for graders: it shows, and does nothing. (In Chromium: test_e2e_formgrader.)"""

from __future__ import annotations

import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from traitlets.config import Config

from ladder import render
from ladder.cohort.pages import TAGS, cleaned
from ladder.text import say

ON = ("onclick", "onload", "onerror", "ontoggle", "onmouseover")


def exported(*cells: object) -> BeautifulSoup:
    """The cells' part of a page made with a published course's configuration."""
    config = Config()
    config.HTMLExporter.preprocessors = ["ladder.cohort.pages.SafePages"]
    config.HTMLExporter.filters = {"markdown2html": "ladder.cohort.pages.markdown2html"}
    exporter = HTMLExporter(config=config, template_name="classic")
    html, _ = exporter.from_notebook_node(new_notebook(cells=list(cells)))
    found = BeautifulSoup(html, "html.parser").find(id="notebook")
    assert isinstance(found, BeautifulSoup) or found is not None
    return found  # type: ignore[return-value]


def harmless(found: BeautifulSoup) -> bool:
    return not found.find_all(["script", "iframe", "object", "embed", "form", "style", "link", "meta", "svg"]) and (
        not any(found.find_all(attrs={name: True}) for name in ON)) and not any(
        tag.get("href", "").lower().startswith(("javascript:", "data:")) for tag in found.find_all("a")) and all(
        tag["src"].startswith("data:image/") for tag in found.find_all("img") if "src" in tag.attrs)


@pytest.mark.parametrize("attack", [
    "<script>x</script>", "<ScRiPt src=//e>", "<img src=x onerror=x>", "<a href=' javascript:x'>a</a>",
    "<a href='java\tscript:x'>a</a>", "[a](javascript:x)", "[a](JaVaScRiPt&colon;x)", "<svg><script>x</script></svg>",
    "<iframe srcdoc='<script>x</script>'>", "<math><mtext></form><form><mglyph><style></math><img src onerror=x>",
    "<!--><script>x</script>-->", "<details open ontoggle=x>", "<form action=/api><input>", "<base href=//e>",
    "<img src='data:text/html,<script>x</script>'>", "<a href='data:text/html;base64,eA=='>a</a>",
    "<meta http-equiv=refresh content=0>", "![a](https://e.example/a.png)", "</div></div><script>x</script>",
    "$</span><script>x</script>$", "```html\n</code></pre><script>x</script>\n```", "<style>*{display:none}</style>",
    "<div style='background-image:url(https://e.example)'>a</div>", "<link rel=stylesheet href=//e>",
])
def test_attacks_do_nothing(attack: str) -> None:
    outputs = [new_output("display_data", {kind: attack}) for kind in (
        "text/html", "text/markdown", "text/latex", "image/svg+xml", "text/plain", "application/javascript")]
    outputs.append(new_output("display_data", {"text/html": attack}, metadata={"text/html": {"isolated": True}}))
    found = exported(new_markdown_cell(attack), new_raw_cell(attack), new_code_cell(attack, outputs=outputs))
    assert harmless(found), found
    assert "url(" not in str([tag.get("style") for tag in found.find_all(True)])


def test_what_learners_write_is_still_shown() -> None:
    text = "# Title\n**bold** $a < b$\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n- one\n\n```python\nif a < b: pass\n```\n"
    found = exported(new_markdown_cell(text))
    assert found.find("h1") and found.find("strong") and found.find("table") and found.find("li")
    assert "a < b" in found.get_text() and "$" in found.get_text() and found.select(".highlight .k")
    frame = "<table border=1 class='dataframe'><tr><td>1</td></tr></table>"
    found = exported(new_code_cell("x", outputs=[new_output("display_data", {"text/html": frame})]))
    assert found.select("table.dataframe td")


def test_pictures_stay() -> None:
    attached = new_markdown_cell("![p](attachment:a.png)", attachments={"a.png": {"image/png": "iVBORw0KGgo="}})
    drawn = new_code_cell("x", outputs=[new_output("display_data", {"image/png": "iVBORw0KGgo="}),
                                        new_output("display_data", {"image/svg+xml": "<svg></svg>"})])
    assert len(exported(attached, drawn).select("img[src^='data:image/']")) == 3


def test_verdicts_keep_their_looks() -> None:
    html = f'<div class="ladder-verdict" style="border-left:4px solid red;padding:.3em .8em;margin:.3em 0;max-width:60em">' \
           f'<details><summary style="{render.SUMMARY}">x</summary><table style="border-collapse:collapse">' \
           f'<tr><td style="{render.CELL};color:red">{say("a", "b").en}</td></tr></table></details></div>'
    kept = cleaned(html)
    assert kept.count("style=") == html.count("style=") and "ladder-verdict" in kept
    assert BeautifulSoup(kept, "html.parser").find("td")["style"].count(":") == 4  # type: ignore[index]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["<", ">", "\"", "'", "`", "script", " ", "/", "=", "onerror", "img", "svg", "style", "a href",
                                 "javascript:", "<!--", "-->", "&lt;", "x", "\n", "]]>", "<![CDATA[", "title", "\0"]),
                max_size=25))
def test_any_markup(parts: list[str]) -> None:
    found = BeautifulSoup(cleaned("".join(parts)), "html.parser")
    assert {tag.name for tag in found.find_all(True)} <= TAGS and harmless(found)
