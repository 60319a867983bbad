"""What graders and learners see in a browser: nothing of a learner's may run there.

A grader's page may write grades, so a script in a submission could give itself points. Configured
for ``HTMLExporter``, which makes both nbgrader's feedback and the formgrader's pages:
``markdown2html`` renders markdown with raw HTML shown as text; ``SafePages`` cleans what code
cells put out and shows raw cells as text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

import bleach
from bleach.css_sanitizer import CSSSanitizer
from jinja2 import pass_context
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode

from ladder.cohort.outputs import TYPES

TAGS = frozenset((
    "a", "abbr", "b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "del", "details", "div", "dl",
    "dt", "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "kbd", "li",
    "mark", "ol", "p", "pre", "s", "samp", "small", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td",
    "tfoot", "th", "thead", "tr", "tt", "u", "ul", "var"))
STYLES = ("background-color", "border", "border-bottom", "border-collapse", "border-left", "border-right",
          "border-top", "color", "cursor", "display",
          "font-family", "font-size", "font-style", "font-weight",
          "line-height", "margin", "margin-bottom", "margin-left", "margin-right", "margin-top", "max-width",
          "padding", "padding-left", "padding-right", "text-align", "text-decoration", "vertical-align",
          "white-space", "width")
CLASSES = re.compile(r"[a-z]{1,2}\d?|hll|highlight|dataframe|language-[\w+-]+|ladder-[\w-]+|ansi-[\w-]+")
LONGEST = 100_000  # characters
MANY, UNCLOSED = 4_000, 500  # tags; html5lib takes the square of how deep they are nested
TOO_LONG = "<p>… too long to show here / 内容过长，此处不显示 …</p>"
ACTIVE_MATH = re.compile(r"\\(href|style|class|cssId|require)(?![A-Za-z])")
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*\Z")


def _attribute(tag: str, name: str, value: str) -> bool:
    if tag == "img" and name == "src":
        return bool(PICTURE.match(value))  # no address: the grader's browser fetches nothing
    if tag == "a" and name == "href":
        return value.lower().startswith(("http://", "https://", "mailto:", "#"))
    if name == "class":
        return all(CLASSES.fullmatch(word) for word in value.split())
    return name in ("style", "title", "alt", "open", "align", "colspan", "rowspan", "width", "height", "start")


def cleaned(markup: str) -> str:
    """HTML that shows and does nothing; other tags appear as text."""
    tags, closed = markup.count("<"), markup.count("</")
    if len(markup) > LONGEST or tags > MANY or tags - 2 * closed > UNCLOSED:
        return TOO_LONG
    return bleach.clean(
        ACTIVE_MATH.sub(r"\\text", markup), tags=TAGS, attributes=_attribute,
        protocols={"http", "https", "mailto", "data"},
        css_sanitizer=CSSSanitizer(allowed_css_properties=STYLES))


@pass_context
def markdown2html(context: Any, source: str) -> str:
    """The filter of that name in ``HTMLExporter.filters``."""
    if len(source) > LONGEST:
        return TOO_LONG
    cell = context.get("cell", {})
    attachments = cell.get("attachments", {}) if isinstance(cell, Mapping) else {}
    renderer = IPythonRenderer(escape=True, attachments=attachments, exclude_anchor_links=True)
    return cleaned(MarkdownWithMath(renderer=renderer).render(source))


class SafePages(Preprocessor):
    """In ``HTMLExporter.preprocessors``."""

    enabled = True

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        nb.metadata.pop("widgets", None)
        for cell in nb.cells:
            if cell.cell_type == "raw":
                cell.source = f"<pre>{html.escape(cell.source)}</pre>"
                cell.metadata = NotebookNode()
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if self._safe(output)]
        return nb, resources

    def _safe(self, output: Any) -> bool:
        """Clean an output; whether anything is left to show."""
        data = output.get("data")
        if data is None:
            return True
        output.metadata = NotebookNode()
        for kind in [kind for kind in data if kind not in TYPES]:
            del data[kind]
        if "text/html" in data:
            data["text/html"] = cleaned(data["text/html"])
        if "text/latex" in data:
            data["text/latex"] = ACTIVE_MATH.sub(r"\\text", data["text/latex"])
        return bool(data)
