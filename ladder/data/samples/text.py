"""Small texts made from templates of our own: sentences in five languages, stories, scenes, articles.

All of it is deterministic (``Random.random`` is stable across Python versions; ``choice`` is not
promised to be) and all of it is ours.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# English; German as subject and as object; French; Spanish; Vietnamese.
NOUNS = (
    ("cat", "die Katze", "die Katze", "le chat", "el gato", "con mèo"),
    ("dog", "der Hund", "den Hund", "le chien", "el perro", "con chó"),
    ("horse", "das Pferd", "das Pferd", "le cheval", "el caballo", "con ngựa"),
    ("child", "das Kind", "das Kind", "l'enfant", "el niño", "đứa trẻ"),
    ("woman", "die Frau", "die Frau", "la femme", "la mujer", "người phụ nữ"),
    ("man", "der Mann", "den Mann", "l'homme", "el hombre", "người đàn ông"),
    ("bird", "der Vogel", "den Vogel", "l'oiseau", "el pájaro", "con chim"),
    ("teacher", "die Lehrerin", "die Lehrerin", "la professeure", "la profesora", "cô giáo"),
)
VERBS = (
    ("see", "sees", "sieht", "voit", "ve", "nhìn thấy"),
    ("follow", "follows", "verfolgt", "suit", "sigue", "đi theo"),
    ("find", "finds", "findet", "trouve", "encuentra", "tìm thấy"),
    ("love", "loves", "liebt", "aime", "ama", "yêu"),
    ("watch", "watches", "beobachtet", "regarde", "mira", "quan sát"),
)
PLACES = (
    ("in", "garden", "im Garten", "dans le jardin", "en el jardín", "trong vườn"),
    ("in", "street", "auf der Straße", "dans la rue", "en la calle", "trên đường"),
    ("in", "house", "im Haus", "dans la maison", "en la casa", "trong nhà"),
    ("on", "beach", "am Strand", "sur la plage", "en la playa", "trên bãi biển"),
)
LANGUAGES = ("en", "de", "fr", "es", "vi")
NAMES = ("Mira", "Tom", "Ana", "Ben", "Lin", "Omar", "Ida", "Sam")
ADJECTIVES = ("small", "red", "dusty", "bright", "quiet", "heavy")
THINGS = ("lamp", "kite", "drum", "key", "basket", "boat", "bell", "ladder")


class Picker:
    """Seeded choices."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def one(self, items: Sequence[T]) -> T:
        return items[int(self._rng.random() * len(items))]

    def few(self, items: Sequence[T], count: int) -> list[T]:
        left, taken = list(items), []
        for _ in range(count):
            taken.append(left.pop(int(self._rng.random() * len(left))))
        return taken

    def number(self, low: int, high: int) -> int:
        return low + int(self._rng.random() * (high - low + 1))


def parallel(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Sentences with their translations, all different."""
    everything = [(s, v, o, p) for s, v, o, p in itertools.product(NOUNS, VERBS, NOUNS, PLACES)
                  if s is not o]
    rows = []
    for s, v, o, p in Picker(seed).few(everything, count):
        row = {
            "en": f"the {s[0]} {v[1]} the {o[0]} {p[0]} the {p[1]}",
            "de": f"{s[1]} {v[2]} {o[2]} {p[2]}",
            "fr": f"{s[3]} {v[3]} {o[3]} {p[3]}",
            "es": f"{s[4]} {v[4]} a {o[4]} {p[4]}",
            "vi": f"{s[5]} {v[5]} {o[5]} {p[5]}",
        }
        row["es"] = row["es"].replace(" a el ", " al ")
        rows.append({key: _upper(text) + "." for key, text in row.items()})
    return rows


Word = tuple[str, str, str, int, str]  # form, lemma, tag, head (-1: the root), relation


def _noun_phrase(words: list[Word], noun: str, adjective: str, relation: str, case: str = ""
                 ) -> None:
    head = len(words) + bool(case) + 1 + bool(adjective) + 1
    if case:
        words.append((case, case, "ADP", head, "case"))
    words.append(("the", "the", "DET", head, "det"))
    if adjective:
        words.append((adjective, adjective, "ADJ", head, "amod"))
    words.append((noun, noun, "NOUN", -1, relation))


def conllu(count: int, seed: int) -> str:
    """Sentences as trees: the small cat sees the red dog in the garden."""
    pick, blocks = Picker(seed), []
    for number in range(1, count + 1):
        words: list[Word] = []
        subject, other = pick.few(NOUNS, 2)
        verb, place = pick.one(VERBS), pick.one(PLACES)
        adjectives = [pick.one(("", "", *ADJECTIVES)) for _ in range(3)]
        _noun_phrase(words, subject[0], adjectives[0], "nsubj")
        root = len(words) + 1
        words.append((verb[1], verb[0], "VERB", 0, "root"))
        _noun_phrase(words, other[0], adjectives[1], "obj")
        if pick.number(0, 1):
            _noun_phrase(words, place[1], adjectives[2], "obl", place[0])
        words.append((".", ".", "PUNCT", -1, "punct"))
        forms = [form for form, *_ in words]
        forms[0] = forms[0].capitalize()
        lines = [f"# sent_id = sample-{number}",
                 f"# text = {' '.join(forms).replace(' .', '.')}"]
        for i, (form, (_, lemma, tag, head, relation)) in enumerate(
                zip(forms, words, strict=True), 1):
            head = root if head < 0 else head
            lines.append(f"{i}\t{form}\t{lemma}\t{tag}\t_\t_\t{head}\t{relation}\t_\t_")
        blocks.append("\n".join(lines) + "\n\n")
    return "".join(blocks)


def stories(count: int, seed: int = 1) -> str:
    """Short stories in small words, each closed by <|endoftext|>."""
    pick, told = Picker(seed), []
    for _ in range(count):
        (name, friend), (thing, other) = pick.few(NAMES, 2), pick.few(THINGS, 2)
        adjective, place = pick.one(ADJECTIVES), pick.one(PLACES)
        told.append(
            f"One day, {name} found a {adjective} {thing} {place[0]} the {place[1]}. "
            f"{name} had never seen such a {thing} before.\n"
            f'"Whose {thing} is this?" asked {name}. {friend} came and looked. '
            f'"It is mine," said {friend}. "I lost it when I looked for my {other}."\n'
            f"{name} gave the {thing} back. Then they looked for the {other} together, and "
            f"{pick.one(('they found it', 'it was not far away', 'a bird showed them where'))}. "
            f"{friend} was happy and said thank you.\n<|endoftext|>\n")
    return "".join(told)


def scenes(count: int, seed: int = 2) -> str:
    """Speakers and lines in the layout of a play."""
    pick, parts = Picker(seed), []
    openings = ("What news,", "Stay a while,", "Speak softly,", "Come nearer,", "I pray you hear me,")
    turns = ("the night is longer than the road", "no ladder reaches where the heart would climb",
             "the lamp burns low and still we wait", "he that asks little learns the less",
             "each rung is cut from what we failed before", "the gate is shut and none will turn the key")
    closings = ("and so farewell.", "or let me go.", "as I have sworn.", "till morning come.")
    roles = ("First Keeper", "Second Keeper", "Traveller", "Old Queen", "Messenger")
    for _ in range(count):
        speaker, other = pick.few(roles, 2)
        lines = [f"{pick.one(openings)} good {other.split()[-1].lower()};",
                 f"{_upper(pick.one(turns))},", f"{_upper(pick.one(turns))},",
                 _upper(pick.one(closings))]
        parts.append(f"{speaker}:\n" + "\n".join(lines[: pick.number(2, 4)]) + "\n")
    return "\n".join(parts)


def _upper(line: str) -> str:
    return line[0].upper() + line[1:]


def articles(count: int, seed: int) -> list[tuple[str, str]]:
    """Encyclopaedic paragraphs on towns that do not exist: title and text."""
    pick, made = Picker(seed), []
    for number in range(count):
        title = pick.one(("Ober", "Nieder", "Alten", "Neu")) + pick.one(
            ("berg", "feld", "brück", "haven", "wald")) + f" {number + 1}"
        animal, thing = pick.one(NOUNS[:3])[0], pick.one(THINGS)
        made.append((title, (
            f"{title} is a town with {pick.number(2, 90) * 100} inhabitants . It was founded in "
            f"{pick.number(1100, 1900)} by {pick.one(NAMES)} , a maker of the {thing} . The town "
            f"has {pick.number(2, 9)} bridges and a museum of the {thing} . Its emblem shows a "
            f"{pick.one(ADJECTIVES)} {animal} . Every year in "
            f"{pick.one(('May', 'June', 'July', 'August'))} a fair is held beside the river .")))
    return made


def opinions(count: int, seed: int) -> list[tuple[int, str]]:
    """Opinions on imagined films, label first: 1 is favourable."""
    pick, made = Picker(seed), []
    good = ("a joy from start to finish", "warm and clever", "beautifully made", "worth every minute")
    bad = ("dull from start to finish", "cold and muddled", "badly made", "a waste of an evening")
    parts = ("the acting", "the story", "the music", "the photography", "the ending")
    for number in range(count):
        label = number % 2
        first, second = pick.few(good if label else bad, 2)
        made.append((label, f"This film about a {pick.one(ADJECTIVES)} {pick.one(THINGS)} is "
                            f"{first}; {pick.one(parts)} is {second}."))
    return made
