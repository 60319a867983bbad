"""The readers: what is written is read back, and what is cut off or damaged is told, never guessed."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ladder.errors import DataError
from ladder.readers import (
    IDX_TYPES,
    read_conllu,
    read_idx,
    read_jsonl,
    read_lines,
    read_text,
    read_tsv,
)

quick = settings(max_examples=40, deadline=None,
                 suppress_health_check=[HealthCheck.function_scoped_fixture])
wrappers = st.sampled_from([lambda raw: raw, lambda raw: gzip.compress(raw, 1), bz2.compress])

idx_arrays = st.sampled_from([np.dtype(kind) for kind in IDX_TYPES.values()]).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)))


def idx(array: np.ndarray) -> bytes:
    kind = next(code for code, name in IDX_TYPES.items() if np.dtype(name) == array.dtype)
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


@quick
@given(array=idx_arrays, wrap=wrappers)
def test_idx_is_read_back(tmp_path, array, wrap):
    path = tmp_path / "file"
    path.write_bytes(wrap(idx(array)))
    read = read_idx(path)
    assert read.dtype == array.dtype.newbyteorder("=") and read.dtype.isnative
    np.testing.assert_array_equal(read, array)
    assert read.flags.writeable


@quick
@given(array=idx_arrays, data=st.data(), wrap=wrappers)
def test_idx_cut_anywhere_is_an_error(tmp_path, array, data, wrap):
    raw = wrap(idx(array))
    path = tmp_path / "file"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises(DataError):
        read_idx(path)


@quick
@given(array=idx_arrays, tail=st.binary(min_size=1, max_size=9))
def test_idx_with_bytes_left_over_is_an_error(tmp_path, array, tail):
    path = tmp_path / "file"
    path.write_bytes(idx(array) + tail)
    with pytest.raises(DataError, match="left over"):
        read_idx(path)


@quick
@given(raw=st.binary(max_size=60) | st.binary(max_size=40).map(lambda tail: b"\0\0\x08" + tail))
def test_no_bytes_upset_the_idx_reader(tmp_path, raw):
    path = tmp_path / "file"
    path.write_bytes(raw)
    with contextlib.suppress(DataError):
        read_idx(path)


def test_idx_says_what_is_wrong(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\x89PNG....")
    with pytest.raises(DataError, match="starts with 89 50 4e 47"):
        read_idx(path)
    path.write_bytes(idx(np.zeros((3, 4), np.uint8))[:-5])
    with pytest.raises(DataError, match=r"cut off: shape \(3, 4\) of uint8 needs 12 .* found 7"):
        read_idx(path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_idx(tmp_path / "absent")


def test_a_flipped_bit_in_gzip_is_an_error(tmp_path):
    raw = bytearray(gzip.compress(bytes(range(256)) * 40))
    path = tmp_path / "file.gz"
    for position in range(12, len(raw), 7):
        damaged = bytearray(raw)
        damaged[position] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cut off or damaged|UTF-8"):
            read_text(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner,
                                                                max_size=3), max_leaves=6)
json_records = st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=4), max_size=5)


@quick
@given(records=json_records, ascii=st.booleans(), last=st.sampled_from(["", "\n"]), wrap=wrappers)
def test_jsonl_is_read_back(tmp_path, records, ascii, last, wrap):
    text = "\n".join(json.dumps(record, ensure_ascii=ascii) for record in records)
    text = text and text + last
    try:
        raw = text.encode()
    except UnicodeEncodeError:  # lone surrogates are not UTF-8
        return
    path = tmp_path / "file"
    path.write_bytes(wrap(raw))
    assert read_jsonl(path) == records


@quick
@given(records=json_records.filter(bool), data=st.data())
def test_jsonl_cut_inside_a_record_is_an_error(tmp_path, records, data):
    lines = [json.dumps(record) for record in records]
    cut = data.draw(st.integers(1, len(lines[-1]) - 1))
    path = tmp_path / "file"
    path.write_text("\n".join([*lines[:-1], lines[-1][:cut]]))
    with pytest.raises(DataError, match=rf"line {len(lines)}: .*may be cut off"):
        read_jsonl(path)


@pytest.mark.parametrize(("text", "message"), [
    ('{"a": 1}\n\n{"a": 2}\n', "line 2: not JSON"),
    ("[1, 2]\n", "line 1: expected an object"),
    ('{"a": NaN}\n', "NaN is not JSON"),
    ('{"a": 1}\n{"b": 1}\n', "line 2: no a; the fields are b"),
])
def test_jsonl_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_jsonl(path, fields=("a",))


def test_only_a_newline_ends_a_line(tmp_path):
    path = tmp_path / "file"
    path.write_text('{"a": "x\u2028y\x85z"}\n', encoding="utf-8")
    assert read_jsonl(path) == [{"a": "x\u2028y\x85z"}]
    path.write_bytes(b"one\ntwo \xff\n")
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        read_lines(path)


cells = st.text(st.characters(exclude_characters="\t\n\r\ufeff", exclude_categories=["Cs"]),
                max_size=6)


@quick
@given(data=st.data(), columns=st.lists(cells.filter(bool), min_size=1, max_size=4, unique=True),
       wrap=wrappers)
def test_tsv_is_read_back(tmp_path, data, columns, wrap):
    rows = data.draw(st.lists(st.lists(cells, min_size=len(columns), max_size=len(columns)),
                              max_size=5))
    path = tmp_path / "file"
    path.write_bytes(wrap("".join("\t".join(row) + "\n" for row in [columns, *rows]).encode()))
    assert read_tsv(path) == [dict(zip(columns, row, strict=True)) for row in rows]


def test_tsv_says_what_is_wrong(tmp_path):
    path = tmp_path / "file"
    path.write_text("a\tb\n1\t2\n3\n")
    with pytest.raises(DataError, match=r"line 3: 1 cells, expected 2 \(a, b\)"):
        read_tsv(path)
    path.write_text("a\ta\n")
    with pytest.raises(DataError, match="twice"):
        read_tsv(path)
    path.write_text("")
    with pytest.raises(DataError, match="names the columns"):
        read_tsv(path)
    path.write_text("# said by\nx\ty\n")
    assert read_tsv(path, ("one", "two"), comment="#") == [{"one": "x", "two": "y"}]


@st.composite
def trees(draw):
    """Heads of a random tree, words 1..n in random order of attachment."""
    n = draw(st.integers(1, 7))
    order = draw(st.permutations(range(1, n + 1)))
    heads = {order[0]: 0}
    for i, word in enumerate(order[1:], 1):
        heads[word] = draw(st.sampled_from(order[:i]))
    return [heads[word] for word in range(1, n + 1)]


words = st.text(st.characters(categories=["L", "P", "N"]), min_size=1, max_size=5)


def conllu(sentences, forms="w"):
    return "".join("# text = t\n" + "".join(
        f"{i}\t{forms}\tl\tNOUN\t_\tA=b|C=d\t{head}\tdep\t_\t_\n"
        for i, head in enumerate(heads, 1)) + "\n" for heads in sentences)


@quick
@given(sentences=st.lists(trees(), max_size=4), form=words, wrap=wrappers)
def test_conllu_is_read_back(tmp_path, sentences, form, wrap):
    path = tmp_path / "file"
    path.write_bytes(wrap(conllu(sentences, form).encode()))
    read = read_conllu(path)
    assert [[token.head for token in s.tokens] for s in read] == sentences
    assert all(token.form == form and token.feats == {"A": "b", "C": "d"}
               for s in read for token in s.tokens)
    assert all(s.comments == {"text": "t"} for s in read)


@quick
@given(heads=trees(), data=st.data())
def test_conllu_with_another_head_is_a_tree_or_an_error(tmp_path, heads, data):
    where = data.draw(st.integers(0, len(heads) - 1))
    changed = [*heads]
    changed[where] = data.draw(st.integers(0, len(heads) + 1))
    path = tmp_path / "file"
    path.write_text(conllu([changed]))
    seen, word = [], where + 1
    while 0 < word <= len(heads) and word not in seen:
        seen.append(word)
        word = changed[word - 1]
    if word == 0 and changed.count(0) == 1:
        assert [token.head for token in read_conllu(path)[0].tokens] == changed
    else:
        with pytest.raises(DataError, match=r"root|not in the sentence|circle"):
            read_conllu(path)


@quick
@given(sentences=st.lists(trees(), min_size=1, max_size=3), data=st.data())
def test_conllu_cut_inside_a_sentence_is_an_error(tmp_path, sentences, data):
    text = conllu(sentences)
    last = text.rstrip("\n").rindex("\n\n") + 2 if len(sentences) > 1 else 0
    path = tmp_path / "file"
    path.write_text(text[: data.draw(st.integers(last + 1, len(text) - 1))])
    with pytest.raises(DataError):
        read_conllu(path)


def test_conllu_keeps_contractions_and_empty_nodes(tmp_path):
    path = tmp_path / "file"
    path.write_text(
        "# text = don't\n1-2\tdon't" + "\t_" * 8 + "\n"
        "1\tdo\tdo\tAUX\tVBP\t_\t2\taux\t_\t_\n2\tn't\tnot\tPART\tRB\t_\t0\troot\t_\t_\n"
        "2.1\tgo\tgo" + "\t_" * 7 + "\n\n")
    (sentence,) = read_conllu(path)
    assert sentence.contractions == {(1, 2): "don't"} and sentence.text == "don't"
    assert sentence.empty[0][:2] == ("2.1", "go") and len(sentence.tokens) == 2


@pytest.mark.parametrize(("text", "message"), [
    ("1\ta\tb\n\n", "line 1: expected 10 cells"),
    (conllu([[0]]).replace("1\tw", "2\tw"), "line 2: word '2', expected word 1"),
    (conllu([[0]]).replace("\t0\t", "\t_\t"), "line 2: the head is '_'"),
    (conllu([[0]]).replace("A=b", "Ab"), "the feature 'Ab' has no value"),
    (conllu([[0]]) + "\n", "line 4: a blank line"),
    ("# text = nothing\n\n", "0 words with 0 roots"),
    (conllu([[0]])[:-1], "cut off"),
    ("1-3\tabc" + "\t_" * 8 + "\n" + conllu([[0]])[11:], "past the sentence"),
])
def test_conllu_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_conllu(path)
