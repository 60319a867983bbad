"""Samples of texts, treebanks, translations, pictures, vectors and vocabularies."""

from __future__ import annotations

import bz2
import io
import json
from collections import Counter
from collections.abc import Callable

from ladder.data.samples import Files, made, pack, text


@made
def mnist() -> Files:
    from ladder.data.samples.digits import draw_digits, idx_gz

    files = {}
    for split, stem, count, seed in (("train", "train", 2000, 1), ("test", "t10k", 500, 2)):
        images, labels = draw_digits(count, seed)
        files[f"{split}_images"] = (f"{stem}-images-idx3-ubyte.gz", idx_gz(images))
        files[f"{split}_labels"] = (f"{stem}-labels-idx1-ubyte.gz", idx_gz(labels))
    return files


@made
def tinyshakespeare() -> Files:
    return {"text": ("input.txt", text.scenes(250).encode())}


@made
def tinystories() -> Files:
    return {"train": ("TinyStories-train-head.txt", text.stories(120).encode())}


@made
def wikitext2() -> Files:
    def tokens(count: int, seed: int) -> bytes:
        return "".join(f" \n = {title} = \n \n {body} \n"
                       for title, body in text.articles(count, seed)).encode()

    return {"train": ("wiki.train.tokens", tokens(60, 1)),
            "valid": ("wiki.valid.tokens", tokens(12, 2)),
            "test": ("wiki.test.tokens", tokens(12, 3))}


@made
def wikipedia() -> Files:
    pages = "".join(
        f"  <page>\n    <title>{title}</title>\n    <ns>0</ns>\n    <id>{number}</id>\n"
        f"    <revision>\n      <id>{number}</id>\n      <text xml:space=\"preserve\">'''{title}'''"
        f" {body.removeprefix(title).strip()}\n\n== See also ==\n* [[Ladder]]\n[[Category:Towns]]"
        "</text>\n    </revision>\n  </page>\n"
        for number, (title, body) in enumerate(text.articles(30, 4), 1))
    xml = ('<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" '
           f'xml:lang="en">\n{pages}</mediawiki>\n')
    return {"pages": ("enwiki-shortened.xml.bz2", bz2.compress(xml.encode()))}


@made
def imdb() -> Files:
    def reviews(count: int, seed: int) -> bytes:
        return pack.gz(pack.jsonl(
            {"id": f"{('neg', 'pos')[label]}/{number}_{2 + 7 * label}", "rating": 2 + 7 * label,
             "label": label, "text": body}
            for number, (label, body) in enumerate(text.opinions(count, seed))))

    return {"train": ("imdb_train.jsonl.gz", reviews(200, 1)),
            "test": ("imdb_test.jsonl.gz", reviews(80, 2))}


@made
def sentiment_cc() -> Files:
    made = text.opinions(200, 3)
    sentences = {f"sentence_polarity/rt-polarity.{('neg', 'pos')[wanted]}": "".join(
        f"{body.lower()} \n" for label, body in made if label == wanted).encode()
        for wanted in (0, 1)}
    reviews = {f"movie_reviews/{('neg', 'pos')[label]}/cv{number:03}_sample.txt":
               f"{body.lower()}\n".encode() for number, (label, body) in enumerate(made[:60])}
    return {"sentences": ("sentence_polarity.zip", pack.zip_(sentences)),
            "reviews": ("movie_reviews.zip", pack.zip_(reviews))}


@made
def multi30k() -> Files:
    files, rows = {}, text.parallel(600, 5)
    for split, stem, part in (("train", "train", rows[:480]), ("val", "val", rows[480:540]),
                              ("test", "test_2016_flickr", rows[540:])):
        for language in ("en", "de"):
            content = "".join(row[language] + "\n" for row in part)
            files[f"{split}_{language}"] = (f"{stem}.{language}.gz", pack.gz(content.encode()))
    return files


@made
def parallel_pud() -> Files:
    columns = ("en", "de", "fr", "es")
    lines = ["\t".join(("id", *columns))]
    for number, row in enumerate(text.parallel(100, 6), 1):
        lines.append("\t".join((f"s{number:05}", *(row[language] for language in columns))))
    return {"pairs": ("pud_en_de_fr_es.tsv", ("\n".join(lines) + "\n").encode())}


@made
def iwslt15_envi() -> Files:
    files, rows = {}, text.parallel(160, 7)
    for key, stem, archive, part in (("dev", "tst2012", "dev-2012-en-vi.tgz", rows[:80]),
                                     ("test", "tst2013", "test-2013-en-vi.tgz", rows[80:])):
        files[key] = (archive, pack.tgz({
            f"{stem}.{language}": "".join(row[language] + "\n" for row in part).encode()
            for language in ("en", "vi")}))
    return files


@made
def ud_english_ewt() -> Files:
    return {split: (f"en_ewt-ud-{split}.conllu", text.conllu(count, seed).encode())
            for split, count, seed in (("train", 200, 1), ("dev", 40, 2), ("test", 40, 3))}


@made
def word_analogies() -> Files:
    sections = {"family": (("king", "queen"), ("man", "woman"), ("boy", "girl"), ("uncle", "aunt")),
                "gram-plural": (("cat", "cats"), ("dog", "dogs"), ("bird", "birds"),
                                ("child", "children"))}
    questions = "".join(f": {section}\n" + "".join(
        f"{a} {b} {c} {d}\n" for a, b in pairs for c, d in pairs if a != c)
        for section, pairs in sections.items())
    rated = "# a sample, rated by nobody\n# Word 1\tWord 2\tHuman (mean)\n" + "".join(
        f"{a}\t{b}\t{score}\n" for a, b, score in (
            ("king", "queen", 8.5), ("cat", "dog", 7.0), ("man", "woman", 8.0),
            ("boy", "girl", 8.0), ("king", "cat", 1.0), ("bird", "uncle", 0.5)))
    return {"questions": ("questions-words.txt", questions.encode()),
            "wordsim353": ("wordsim353.tsv", rated.encode()),
            "simlex999": ("simlex999.txt", rated.encode())}


@made
def glove() -> Files:
    import numpy as np

    parts = {"king": "royal man", "queen": "royal woman", "man": "man", "woman": "woman",
             "boy": "young man", "girl": "young woman", "uncle": "kin man", "aunt": "kin woman",
             **{f"{animal}{s}": f"animal {animal} {s}" for animal in ("cat", "dog", "bird")
                for s in ("", "s")}, "child": "child young", "children": "child young s"}
    rng = np.random.default_rng(0)
    words = sorted({part for value in parts.values() for part in value.split()})
    meaning = dict(zip(words, rng.normal(size=(len(words), 50)), strict=True))
    vectors = np.stack([sum(meaning[part] for part in value.split()) + rng.normal(0, 0.05, 50)
                        for value in parts.values()]).astype(np.float16)
    packed = io.BytesIO()
    np.savez_compressed(packed, words=np.array(list(parts)), vectors=vectors)
    return {"vectors": ("glove.6B.50d.npz", packed.getvalue())}


@made
def image_text() -> Files:
    colours = {"red": (210, 40, 40), "green": (40, 160, 60), "blue": (40, 70, 200),
               "yellow": (230, 200, 40)}
    shapes: dict[str, Callable[[int, int], bool]] = {
        "square": lambda x, y: max(abs(x), abs(y)) < 10, "bar": lambda x, y: abs(y) < 4,
        "circle": lambda x, y: x * x + y * y < 110, "diamond": lambda x, y: abs(x) + abs(y) < 13}
    images, captions, names = {}, ["image\tcaption"], ["file\tname\tshort_names\tcategory\t"
                                                      "subcategory"]
    for colour, rgb in colours.items():
        for shape, inside in shapes.items():
            file = f"{colour}-{shape}.png"
            images[file] = pack.png([[rgb if inside(x - 16, y - 16) else (255, 255, 255)
                                  for x in range(32)] for y in range(32)])
            captions.append(f"{file}\tThere is a {colour} {shape} in the middle.")
            names.append(f"{file}\t{colour} {shape}\t{colour}_{shape}\tSample\tshape")
    return {"nlvr_images": ("nlvr_dev_true_images.zip", pack.zip_(images)),
            "nlvr_captions": ("nlvr_dev_true_captions.tsv", pack.lines(captions)),
            "emoji_images": ("noto_emoji_32px.zip", pack.zip_(images)),
            "emoji_names": ("noto_emoji_names.tsv", pack.lines(names))}


@made
def gpt2_bpe() -> Files:
    """The 256 bytes in GPT-2's order, and merges that spell common words from left to right."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    symbols = [chr(byte) for byte in shown] + [chr(256 + i) for i in range(len(hidden))]
    words = Counter(text.stories(120).split())
    merges: dict[tuple[str, str], None] = {}
    for word, _ in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:60]:
        spelled = "Ġ" + "".join(c for c in word if c.isascii())
        for end in range(1, len(spelled)):
            merges[spelled[:end], spelled[end]] = None
    tokens = [*symbols, *(a + b for a, b in merges), "<|endoftext|>"]
    encoder = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    return {"encoder": ("encoder.json", json.dumps(encoder).encode()),
            "merges": ("vocab.bpe", pack.lines(lines))}


@made
def bert_wordpiece() -> Files:
    words = Counter("".join(c if c.isalpha() else " " for c in text.stories(120).lower()).split())
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"!\"',-.:;?0123456789", *letters,
              *("##" + letter for letter in letters), "##s", "##ed", "##ing",
              *(word for word, _ in sorted(words.items(), key=lambda w: (-w[1], w[0]))
                if len(word) > 1)]
    return {"vocab": ("vocab.txt", pack.lines(list(dict.fromkeys(pieces))))}


@made
def public_domain_prose() -> Files:
    novel = "THE LADDER\n\n\nCHAPTER I\n\n\n" + text.stories(80, 9).replace("<|endoftext|>\n", "\n")
    speeches = {f"state_union/{1950 + number}-Sample.txt": f"{body}\n".encode()
                for number, (_, body) in enumerate(text.articles(8, 10))}
    return {"state_union": ("state_union.zip", pack.zip_(speeches)),
            "austen": ("austen_six_novels.txt.gz", pack.gz(novel.encode()))}
