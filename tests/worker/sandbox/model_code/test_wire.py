import json
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sandbox.model_code import wire

HASHABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=20)
    | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9)),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
VALUES = st.recursive(
    HASHABLE | st.sets(HASHABLE, max_size=3) | st.binary(max_size=9).map(bytearray),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(HASHABLE, inner, max_size=3),
    max_leaves=6,
)
KINDS = ["object", "int", "x", *wire._KINDS]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KINDS), inner, max_size=2),
    max_leaves=9,
)


def no_object(value):
    raise wire.WireError(f"{type(value).__name__} is an object")


def crossed(value):
    message = wire.pack(wire.encode(value, no_object))
    stream = iter([message[:4], message[4:]])
    return wire.decode(wire.unpack(lambda size: next(stream)[:size]), no_object)


def same(left, right):
    """Compare values with their types, at every depth."""
    return left == right and repr(type(left)) == repr(type(right))


@given(VALUES)
def test_a_value_crosses_unchanged(value):
    assert same(crossed(value), value)


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (type("I", (int,), {})(3), 3),
        (type("S", (str,), {"__str__": lambda self: "lie"})("x"), "x"),
        (type("F", (float,), {"__float__": lambda self: 1.0})(0.5), 0.5),
        (type("L", (list,), {"__iter__": lambda self: iter("lie")})([1]), [1]),
        (type("D", (dict,), {"items": lambda self: [("lie", 1)]})(a=1), {"a": 1}),
        (type("T", (tuple,), {"__eq__": lambda self, other: True})((1,)), (1,)),
        ({"a": 1}.keys(), ["a"]),
        (slice(1, None, 2), slice(1, None, 2)),
    ],
)
def test_a_subclass_crosses_as_its_base(value, base):
    assert same(crossed(value), base)


@given(JSON)
def test_any_json_is_a_value_of_plain_types_or_no_value(node):
    try:
        value = wire.decode(node, lambda number: [number])
    except wire.WireError:
        return
    assert type(value) in {
        *(type(None), bool, int, float, str, list),
        *(base for base, _, _ in wire._KINDS.values()),
    }


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_none(data):
    stream = iter([data[:4].ljust(4, b"\0"), data[4:]])
    try:
        wire.unpack(lambda size: next(stream)[:size])
    except wire.WireError as error:
        assert str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    "node",
    [
        {"tuple": 5},
        {"tuple": {"a": 1}},
        {"tuple": [], "set": []},
        {},
        {"eval": ["1"]},
        {"set": [[1]]},
        {"dict": [[[1], 2]]},
        {"dict": [[1]]},
        {"int": ["xyz"]},
        {"int": [5]},
        {"bytes": ["0"]},
        {"range": [0, 1, 0]},
        {"Fraction": [1, 0]},
        {"Fraction": ["1e999999999"]},
        {"Decimal": ["x"]},
        {"date": ["2020-13-01"]},
        {"object": []},
    ],
)
def test_what_no_value_looks_like_is_refused(node):
    with pytest.raises(wire.WireError):
        wire.decode(node, lambda number: number)


def test_depth_and_length_are_bounded_both_ways():
    deep = nested = [0]
    for _ in range(wire.MAX_DEPTH + 1):
        deep, nested = [deep], [nested]
    for turn in (lambda: wire.encode(deep, no_object), lambda: wire.decode(nested, no_object)):
        with pytest.raises(wire.WireError, match="nested deeper"):
            turn()
    with pytest.raises(wire.WireError, match="at most"):
        wire.pack("x" * wire.MAX_BYTES)
    with pytest.raises(wire.WireError, match="at most"):
        wire.unpack(lambda size: wire.LENGTH.pack(wire.MAX_BYTES + 1))
    with pytest.raises(wire.WireError, match="not JSON"):
        wire.unpack(lambda size: wire.LENGTH.pack(9) if size == 4 else b"[" * 10**5)


def test_a_message_is_plain_json():
    value = {"days": [date(2020, 1, 2), datetime(2020, 1, 2, 3), timedelta(1, 2, 3)], 1: (2**70,)}
    assert json.loads(json.dumps(wire.encode(value, no_object))) == {
        "dict": [
            ["days", [{"date": ["2020-01-02"]}, {"datetime": ["2020-01-02T03:00:00"]}, {"timedelta": [1, 2, 3]}]],
            [1, {"tuple": [{"int": ["0x400000000000000000"]}]}],
        ]
    }
