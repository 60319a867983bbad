"""Prose that exists in both of the workbook's languages."""

from __future__ import annotations

from typing import NamedTuple

LANGUAGES = ("en", "zh")


class Text(NamedTuple):
    """One sentence in English and in Chinese."""

    en: str
    zh: str

    def in_(self, language: str) -> str:
        """The sentence in ``language``, one of :data:`LANGUAGES`."""
        return self.zh if language == "zh" else self.en


def say(en: str, zh: str) -> Text:
    """Write one sentence in both languages; labels and hints are made with it."""
    return Text(en, zh)


def as_text(value: Text | str) -> Text:
    """Accept a plain string where the words are the same in both languages."""
    return value if isinstance(value, Text) else Text(str(value), str(value))
