"""Day 8's promises, with the lesson's own settings: is king − man + woman really queen?"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ladder.solutions.stage1_foundation.day08_word2vec import (
    analogy,
    analogy_accuracy,
    royal_corpus,
    train_word2vec,
)

from ladder.data import load

DAY = "day08_word2vec"
ROADMAP = "equals Queen (no rank given)"


def read_vectors(path: Any, most: int = 10_000) -> tuple[list[str], torch.Tensor]:
    """Words and vectors; the words are an array, or one string with a word a line."""
    with np.load(path) as file:
        names, vectors = file["words"], file["vectors"]
    names = names.tolist() if names.ndim else str(names).split("\n")
    return names[:most], torch.tensor(vectors[:most], dtype=torch.float32)


def queen(E: torch.Tensor, words: list[str]) -> dict[str, str]:
    """The word nearest to king − man + woman, with and without excluding the inputs."""
    inputs = [words.index(word) for word in ("king", "man", "woman")]
    answers = {}
    for name, exclude in (("excluded", True), ("plain", False)):
        ids, cosines = analogy(E, *inputs, top=1, exclude=exclude)
        answers[name] = words[int(ids[0])]
        answers[f"{name} with cosine"] = f"{words[int(ids[0])]} ({float(cosines[0]):.3f})"
    return answers


def promises(full: bool) -> Iterator[dict[str, Any]]:
    """Three rows; ``full=False`` trains on a third of the sentences and asks 500 questions."""
    start = time.perf_counter()
    corpus, words = royal_corpus(1500, seed=0)
    if not full:
        corpus = corpus[:500]
    E, _, losses = train_word2vec(
        corpus, len(words), d=16, w=8, k=5, epochs=5, batch=128, seed=0)
    found = queen(E, words)
    yield dict(
        day=DAY, promise="our SGNS on the grammar's corpus: king − man + woman is nearest to queen, "
        "nothing excluded", roadmap=ROADMAP,
        ours=f"{found['plain with cosine']}; loss {losses[0]:.2f} to "
        f"{np.mean(losses[-100:]):.2f}",
        reached=found["plain"] == "queen" if full else None,
        seconds=round(time.perf_counter() - start, 1), fidelity="none",
        note=f"{len(corpus)} generated sentences; seed 0",
    )

    start = time.perf_counter()
    glove = load("glove", progress=False)
    names, G = read_vectors(glove["vectors"])
    found = queen(G, names)
    real = full and glove.fidelity != "sample"
    yield dict(
        day=DAY, promise="GloVe 50d: king − man + woman is queen with the inputs excluded; the "
        "honest answer without", roadmap=ROADMAP,
        ours=f"excluded: {found['excluded with cosine']}; nothing excluded: "
        f"{found['plain with cosine']}",
        reached=found["excluded"] == "queen" if real else None,
        seconds=round(time.perf_counter() - start, 1), fidelity=glove.fidelity,
        note=f"the first {len(names)} words",
    )

    start = time.perf_counter()
    number = {name: i for i, name in enumerate(names)}
    questions = load("word_analogies", "questions", progress=False)
    rows = [[number[row[i]] for i in (1, 0, 2, 3)]
            for line in questions["questions"].read_text().lower().splitlines()
            if (row := line.split())[0] != ":" and all(word in number for word in row)]
    asked = torch.tensor(rows if full else rows[:500])
    result = analogy_accuracy(G, asked)
    fidelities = [glove.fidelity, questions.fidelity]
    yield dict(
        day=DAY, promise="analogies on GloVe 50d, with and without excluding the inputs",
        roadmap="no number",
        ours=f"{result['excluded']:.1%} excluded, {result['plain']:.1%} plain; "
        f"{result['input']:.1%} of plain answers are an input",
        reached=None, seconds=round(time.perf_counter() - start, 1),
        fidelity=next(f for f in ("sample", "subset", "full") if f in fidelities),
        note=f"{len(asked)} questions within the first {len(names)} words; no target is set",
    )
