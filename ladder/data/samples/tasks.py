"""Samples of questions, instructions and preferences, made from templates and arithmetic."""

from __future__ import annotations

import bz2
import json
from typing import Any

from ladder.data.samples import Files, made, pack, text
from ladder.data.samples.text import Picker


@made
def gsm8k() -> Files:
    def problems(count: int, seed: int) -> bytes:
        pick, records = Picker(seed), []
        for _ in range(count):
            name, thing = pick.one(text.NAMES), pick.one(text.THINGS)
            have, boxes, each = pick.number(2, 40), pick.number(2, 9), pick.number(2, 12)
            more, whole = boxes * each, have + boxes * each
            records.append({
                "question": f"{name} has {have} {thing}s and buys {boxes} boxes with {each} "
                            f"{thing}s each. How many {thing}s does {name} have now?",
                "answer": f"The boxes hold {boxes}*{each} = <<{boxes}*{each}={more}>>{more} "
                          f"{thing}s.\nTogether that is {have}+{more} = <<{have}+{more}={whole}>>"
                          f"{whole} {thing}s.\n#### {whole}"})
        return pack.jsonl(records)

    return {"train": ("train.jsonl", problems(120, 1)), "test": ("test.jsonl", problems(40, 2))}


@made
def squad() -> Files:
    def questions(seed: int, german: bool = False, unanswerable: bool = False) -> bytes:
        pick, articles = Picker(seed), []
        for number in range(12):
            name, town = pick.one(text.NAMES), f"{pick.one(('Neu', 'Alt'))}feld {number + 1}"
            thing, year = pick.one(text.THINGS), pick.number(1800, 1990)
            context, asked = (
                (f"{name} wurde {year} in {town} geboren und baute dort ein Museum.",
                 ((f"Wo wurde {name} geboren?", town), (f"Wann wurde {name} geboren?", str(year))))
                if german else
                (f"{name} was born in {town} in {year} and later made a famous {thing} there.",
                 ((f"Where was {name} born?", town), (f"When was {name} born?", str(year)),
                  (f"What did {name} make?", thing))))
            qas: list[dict[str, Any]] = [
                {"question": question, "id": f"sample-{seed}-{number}-{i}",
                 "answers": [{"text": answer, "answer_start": context.index(answer)}]}
                for i, (question, answer) in enumerate(asked)]
            if unanswerable:
                qas = [{**qa, "is_impossible": False} for qa in qas]
                qas.append({"question": f"Whom did {name} marry?", "id": f"sample-{number}-none",
                            "answers": [], "is_impossible": True})
            articles.append({"title": town, "paragraphs": [{"context": context, "qas": qas}]})
        return json.dumps({"version": "v2.0" if unanswerable else "1.1", "data": articles},
                          ensure_ascii=False).encode()

    return {"dev": ("dev-v2.0.json", questions(1, unanswerable=True)),
            "xquad_en": ("xquad.en.json", questions(2)),
            "xquad_de": ("xquad.de.json", questions(2, german=True))}


@made
def hellaswag() -> Files:
    pick = Picker(8)
    records: list[dict[str, Any]] = []
    for number in range(40):
        name = pick.one(text.NAMES)
        thing, *others = pick.few(text.THINGS, 4)
        label = pick.number(0, 3)
        endings = [f"puts the {other} into the river and sings." for other in others]
        endings.insert(label, f"carries the {thing} home and puts it on the table.")
        start = f"{name} buys a {pick.one(text.ADJECTIVES)} {thing} at the market."
        records.append({"ind": number, "activity_label": "Shopping", "ctx_a": start, "ctx_b": name,
                        "ctx": f"{start} {name}", "split": "val", "split_type": "indomain",
                        "label": label, "endings": endings, "source_id": f"sample~{number}"})
    blocks = "".join("\n".join((f"{r['activity_label']}: {r['ctx']}", str(r["label"]),
                                *r["endings"])) + "\n" for r in records)
    return {"val": ("hellaswag_val.jsonl", pack.jsonl(records)),
            "val_text": ("hellaswag_val_full.txt.bz2", bz2.compress(blocks.encode()))}


def _choices(count: int, seed: int) -> list[tuple[str, list[str], int]]:
    """Questions whose right answer follows from arithmetic: question, choices, which is right."""
    pick, made = Picker(seed), []
    for _ in range(count):
        a, b = pick.number(2, 30), pick.number(2, 30)
        wrong = [str(a + b + d) for d in pick.few((-3, -2, -1, 1, 2, 3), 3)]
        right = pick.number(0, 3)
        made.append((f"A shelf holds {a} books and gets {b} more. How many does it hold then?",
                     [*wrong[:right], str(a + b), *wrong[right:]], right))
    return made


@made
def arc() -> Files:
    def questions(count: int, seed: int) -> bytes:
        return pack.jsonl({"id": f"sample_{seed}_{number}", "question": {"stem": question, "choices": [
            {"text": choice, "label": letter} for choice, letter in zip(choices, "ABCD",
                                                                        strict=True)]},
            "answerKey": "ABCD"[right]}
            for number, (question, choices, right) in enumerate(_choices(count, seed)))

    easy = pack.jsonl({"choices": choices, "query": f"Question: {question}", "gold": right}
                  for question, choices, right in _choices(30, 3))
    return {"challenge_test": ("ARC-Challenge-Test.jsonl", questions(40, 1)),
            "challenge_dev": ("ARC-Challenge-Dev.jsonl", questions(20, 2)),
            "easy_test": ("arc_easy_test.jsonl", easy)}


@made
def truthfulqa() -> Files:
    rows = ["Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source"]
    for thing, other in zip(text.THINGS, reversed(text.THINGS), strict=True):
        rows.append(f"Adversarial,Sample,Can a {thing} turn into a {other}?,No,No; A {thing} stays "
                    f"a {thing},Yes; Yes at full moon,LLM Ladder")
    return {"questions": ("TruthfulQA.csv", ("\r\n".join(rows) + "\r\n").encode("utf-8-sig"))}


@made
def mmlu() -> Files:
    return {split: (f"mmlu_{split}.jsonl.gz", pack.gz(pack.jsonl(
        {"subject": "sample_arithmetic", "question": question, "choices": choices, "answer": right}
        for question, choices, right in _choices(count, seed))))
        for split, count, seed in (("dev", 5, 4), ("val", 15, 5), ("test", 60, 6))}


def _instructions(count: int, seed: int) -> list[dict[str, str]]:
    pick, made = Picker(seed), []
    for number in range(count):
        word, (a, b) = pick.one(text.THINGS), (pick.number(2, 50), pick.number(2, 50))
        instruction, given, answer = (
            ("Spell the word backwards.", word, word[::-1]),
            (f"Add {a} and {b}.", "", f"{a} plus {b} is {a + b}."),
            ("Write the word in capital letters.", word, word.upper()),
            ("How many letters does the word have?", word, f"It has {len(word)} letters."),
        )[number % 4]
        made.append({"instruction": instruction, "input": given, "output": answer})
    return made


@made
def sft() -> Files:
    def tasks(prefix: str, seed: int, **more: Any) -> bytes:
        return pack.jsonl({"id": f"{prefix}_{number}", **more, "instruction": task["instruction"],
                       "instances": [{"input": task["input"], "output": task["output"]}]}
                      for number, task in enumerate(_instructions(40, seed)))

    return {"instructions": ("instruction-data.json", pack.json_(_instructions(100, 1))),
            "seed_tasks": ("seed_tasks.jsonl",
                           tasks("seed_task", 2, name="sample", is_classification=False)),
            "user_oriented": ("user_oriented_instructions.jsonl",
                              tasks("user_oriented_task", 3, motivation_app="sample"))}


@made
def preference() -> Files:
    records = [{**task, "rejected": f"Surely you know that yourself. {task['output']}",
                "chosen": f"Gladly. {task['output']}"} for task in _instructions(60, 4)]
    dialogues = ({"chosen": f"\n\nHuman: {r['instruction']} {r['input']}\n\nAssistant: "
                            f"{r['chosen']}",
                  "rejected": f"\n\nHuman: {r['instruction']} {r['input']}\n\nAssistant: "
                              f"{r['rejected']}"} for r in records)
    return {"pairs": ("instruction-data-with-preference.json", pack.json_(records)),
            "hh_harmless_test": ("hh-rlhf_harmless-base_test.jsonl.gz", pack.gz(pack.jsonl(dialogues)))}
