"""Observations cross the border whole, and nothing else does."""

import base64
import enum
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ladder import wire
from ladder.errors import WireError
from ladder.wire import Array, decode, encode


def crossed(value):
    """Through JSON, as between two processes."""
    return decode(json.loads(json.dumps(encode(value))))


def same(left, right):
    if isinstance(left, Array):
        return (left.values.dtype == right.values.dtype and left.precision == right.precision
                and np.array_equal(left.values, right.values, equal_nan=left.values.dtype.kind in "fc"))
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    return type(left) is type(right) and (left == right or left != left)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-2**80, 2**80) | st.floats() | st.text(
        st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(plain)
def test_plain_data_comes_back(value):
    assert same(crossed(value), value)


@given(hnp.arrays(
    st.sampled_from([np.dtype(name).newbyteorder(order) for name in wire.DTYPES for order in "<>"]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
))
def test_every_dtype_and_byte_order(array):
    back = crossed(array)
    assert back.values.shape == array.shape
    assert back.values.dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(back.values, array, equal_nan=array.dtype.kind in "fc")
    assert back.precision == array.dtype.name


@pytest.mark.parametrize("array", [
    np.arange(12).reshape(3, 4).T, np.arange(12)[::-2], np.broadcast_to(np.float32(2), (3, 2)),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.empty((0, 3)), np.array(5),
])
def test_layouts_do_not_matter(array):
    assert np.array_equal(crossed(array).values, np.asarray(array))
    assert crossed(array).values.shape == np.asarray(array).shape


@pytest.mark.parametrize(("tensor", "precision"), [
    (torch.tensor([1.5, 2.25], dtype=torch.bfloat16), "bfloat16"),
    (torch.tensor([1.5, 2.25], dtype=torch.float16), "float16"),
    (torch.tensor([1.5, 2.25], requires_grad=True), "float32"),
    (torch.tensor([[1.5, 2.25]], dtype=torch.float64).T, "float64"),
    (torch.tensor([1.5, 2.25]).to_sparse(), "float32"),
    (torch.tensor([1 + 2j]).conj(), "complex64"),
    (torch.tensor(True), "bool"),
    (torch.tensor(3), "int64"),
    (torch.tensor([1.0]).to(torch.float8_e4m3fn), "bfloat16"),
])
def test_tensors(tensor, precision):
    back = crossed(tensor)
    assert back.precision == precision
    dense = tensor.detach()
    dense = dense.to_dense() if dense.layout != torch.strided else dense
    wide = torch.complex128 if dense.is_complex() else torch.float64
    assert np.array_equal(back.values, dense.to(wide).resolve_conj().numpy())
    assert back.values.shape == tuple(tensor.shape)


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_compressed_sparse_tensors():
    assert np.array_equal(crossed(torch.eye(2).to_sparse_csr()).values, np.eye(2))


def test_tensor_without_values_is_refused_not_unwritten():
    with pytest.raises(WireError, match="no values"):
        encode(torch.empty(3, device="meta"))


def test_scalars_of_numpy_are_numbers_and_text():
    assert crossed(np.str_("a")) == "a"
    assert crossed(np.bool_(True)).values.item() is True
    assert crossed(np.float32(1.5)).precision == "float32"
    assert crossed(np.int64(7)).values == 7


def test_subclasses_of_plain_types():
    class Colour(enum.IntEnum):
        RED = 3

    class Metres(float): ...

    assert crossed(Colour.RED) == 3
    assert crossed(Metres(2.5)) == 2.5


def test_keys_of_numpy_are_the_numbers_they_equal():
    assert crossed({np.int64(3): "a", np.float64(0.5): "b", (1, 2): "c"}) == {
        3: "a", 0.5: "b", "[1, 2]": "c"}


def test_sets_come_in_order_however_they_are_held():
    assert crossed({3, 1, 20}) == crossed({np.int64(20), np.int64(3), np.int64(1)}) == [1, 3, 20]
    assert crossed({"b", "a"}) == ["a", "b"]
    assert crossed({frozenset({2, 1}), frozenset({0})}) == [[0], [1, 2]]
    assert len(crossed({1, "a", None})) == 3


def test_special_numbers():
    assert math.isnan(crossed(float("nan")))
    assert crossed([math.inf, -math.inf]) == [math.inf, -math.inf]
    assert math.copysign(1, crossed(-0.0)) == -1
    assert crossed(2**53 + 1) == 2**53 + 1
    assert crossed(-(2**200)) == -(2**200)


def test_lone_surrogates_are_escaped():
    assert crossed("a\ud800") == "a\\ud800"
    json.dumps(encode("a\ud800"), ensure_ascii=False).encode()


@pytest.mark.parametrize(("value", "words"), [
    (object(), "type object"),
    (lambda: 1, "type function"),
    (range(3), "type range"),
    (b"raw", "type bytes"),
    (np.array([object()]), "not plain numbers"),
    (np.array(["a"]), "not plain numbers"),
    (np.array(["2020-01-01"], dtype="datetime64[D]"), "not plain numbers"),
    (np.zeros(2, dtype=[("a", "f4")]), "not plain numbers"),
    (np.longdouble(1), "not plain numbers"),
    ({"a": [np.array([None])]}, "not plain numbers"),
    (10**5000, "bits"),
    ("a" * 200_000, "longer than"),
    (np.zeros(40 * 2**20, dtype=np.uint8), "32 MiB"),
    (["a" * 90_000] * 400, "32 MiB"),
    ([None] * 100_001, "parts"),
], ids=lambda value: type(value).__name__)
def test_refused_with_a_reason(value, words):
    with pytest.raises(WireError, match=words):
        encode(value)


def test_cycles_and_depth():
    cycle: list = []
    cycle.append(cycle)
    with pytest.raises(WireError, match="nested"):
        encode(cycle)
    deep = value = {}
    for _ in range(wire.MAX_DEPTH + 1):
        deep["a"] = deep = {}
    with pytest.raises(WireError, match="nested"):
        encode(value)


def test_what_can_be_encoded_can_be_decoded():
    for size in (24, 31, 32):
        array = np.zeros(size * 2**20, dtype=np.uint8)
        assert decode(encode(array)).values.size == array.size
    nested = 1
    for _ in range(wire.MAX_DEPTH):
        nested = [nested]
    assert decode(encode(nested)) == nested
    assert decode(encode("\ud800" * wire.MAX_TEXT))


def array(**changes):
    data = base64.b64encode(np.zeros(4, "<f8").tobytes()).decode()
    return {"array": {"dtype": "float64", "precision": "float64", "shape": [4], "data": data} | changes}


@pytest.mark.parametrize("document", [
    array(shape=[5]), array(shape=[-4]), array(shape=[2, True, 2]), array(shape=[4.0]),
    array(shape="4"), array(shape=[1] * 40), array(shape=[2**40]), array(shape=None),
    array(shape=[0] + [2**25] * 30, data=""), array(shape=[0, 2**25, 2**25, 2**25], data=""),
    array(dtype="object"), array(dtype="float128"), array(dtype=["float64"]), array(dtype=None),
    array(dtype="O"), array(dtype="<f8"), array(dtype="float32"),
    array(precision="bfloat16"), array(precision=5), array(precision=["float64"]),
    array(data="****"), array(data="QQ"), array(data=5), array(data="é"), array(data="A" * 99),
    array(extra=1), {"array": {"dtype": "float64"}}, {"array": []},
    {"list": 5}, {"list": {"a": 1}}, {"dict": {}}, {"dict": [1]}, {"dict": [[1]]},
    {"dict": [[{"array": 1}, 2]]}, {"dict": [[{"dict": []}, 2]]},
    {"int": 5}, {"int": "x"}, {"int": "9" * 5000}, {"float": "1"}, {"float": []},
    {"pickle": "x"}, {"__class__": "x"}, {"decode": 1}, {}, {"int": "1", "list": []}, [], [1],
    {"list": [{}]}, 1 << 20_000, "a" * 2_000_000,
], ids=lambda value: type(value).__name__)
def test_decode_refuses(document):
    with pytest.raises(WireError):
        decode(document)


def test_bombs_are_refused_before_they_grow():
    with pytest.raises(WireError, match="parts"):
        decode({"list": [0] * (wire.MAX_ITEMS + 1)})
    bomb: object = 0
    for _ in range(wire.MAX_DEPTH + 2):
        bomb = {"list": [bomb]}
    with pytest.raises(WireError, match="nested"):
        decode(bomb)


def test_odd_booleans_become_true_and_false():
    data = base64.b64encode(bytes([0, 1, 2, 255])).decode()
    back = decode(array(dtype="bool", precision="bool", data=data))
    assert back.values.tobytes() == bytes([0, 1, 1, 1])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["float64", "nan", "AAAA", "bool"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["int", "float", "list", "dict", "array", "dtype", "precision", "shape", "data"])
        | st.text(max_size=3), inner, max_size=4)
    | st.fixed_dictionaries({"array": st.fixed_dictionaries({
        "dtype": st.sampled_from(wire.DTYPES) | inner, "precision": inner | st.just("bfloat16"),
        "shape": st.lists(st.integers(-1, 3), max_size=3) | inner,
        "data": st.binary(max_size=16).map(lambda b: base64.b64encode(b).decode()) | inner})})
    | st.fixed_dictionaries({"dict": st.lists(st.tuples(inner, inner).map(list), max_size=3)}),
    max_leaves=15,
)


@given(json_values)
def test_decode_raises_nothing_but_wire_error(document):
    try:
        value = decode(document)
    except WireError:
        return
    encode(value.values if isinstance(value, Array) else 0)
