"""Inside: messages between a verifier and the process of model code: `length (u32) | JSON`, at most `MAX_BYTES`.

Only values cross: None, bool, int, float, str and list as they are in JSON, others as `{"kind": [parts]}` (`_KINDS`).
A subclass crosses as its base. What is no value stays where it is, and its number crosses: `{"object": [number]}`.
"""

import json
import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from operator import index
from typing import Any

from worker.sandbox.policy import MIB

MAX_BYTES = 4 * MIB
MAX_DEPTH = 100
LENGTH = struct.Struct("!I")
_OBJECT = "object"
_JSON_INT_BITS = 64
"""Longer integers cross in hexadecimal: decimal digits take quadratic time, and Python refuses more than 4,300."""

Refer = Callable[[Any], int]
"""Number of an object that is no value."""
Resolve = Callable[[int], Any]
"""Object of a number."""


class WireError(ValueError):
    """A value that cannot cross, or bytes that are no message."""


def _pairs(value: dict[Any, Any]) -> list[list[Any]]:
    return [list(pair) for pair in dict.items(value)]


def _fraction(numerator: Any, denominator: Any) -> Fraction:
    return Fraction(index(numerator), index(denominator))  # of a text, Fraction would compute 10 ** its exponent


# kind -> (type, value to parts, parts to value). Subclasses before their bases.
_KINDS: dict[str, tuple[type, Callable[[Any], Sequence[Any]], Callable[..., Any]]] = {
    "tuple": (tuple, lambda value: list(tuple.__iter__(value)), lambda *parts: parts),
    "dict": (dict, _pairs, lambda *pairs: dict(pairs)),
    "set": (set, lambda value: list(set.__iter__(value)), lambda *parts: set(parts)),
    "frozenset": (frozenset, lambda value: list(frozenset.__iter__(value)), lambda *parts: frozenset(parts)),
    "bytes": (bytes, lambda value: [bytes.hex(value)], bytes.fromhex),
    "bytearray": (bytearray, lambda value: [bytearray.hex(value)], bytearray.fromhex),
    "range": (range, lambda value: [value.start, value.stop, value.step], range),
    "slice": (slice, lambda value: [value.start, value.stop, value.step], slice),
    "complex": (complex, lambda value: [value.real, value.imag], complex),
    "Decimal": (Decimal, lambda value: [Decimal.__str__(value)], Decimal),
    "Fraction": (Fraction, lambda value: [value.numerator, value.denominator], _fraction),
    "datetime": (datetime, lambda value: [datetime.isoformat(value)], datetime.fromisoformat),
    "date": (date, lambda value: [date.isoformat(value)], date.fromisoformat),
    "time": (time, lambda value: [time.isoformat(value)], time.fromisoformat),
    "timedelta": (timedelta, lambda value: [value.days, value.seconds, value.microseconds], timedelta),
}
_VIEWS: tuple[type[Iterable[Any]], ...] = (type({}.keys()), type({}.values()), type({}.items()))


def encode(value: Any, refer: Refer, *, depth: int = 0) -> Any:
    """Convert a value to what JSON can hold. Raises WireError if it is nested too deeply, and what `refer` raises."""
    if depth > MAX_DEPTH:
        raise WireError(f"a value is nested deeper than {MAX_DEPTH}")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _integer(int.__int__(value))
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list):
        return [encode(item, refer, depth=depth + 1) for item in list.__iter__(value)]
    for kind, (base, parts, _) in _KINDS.items():
        if isinstance(value, base):
            return {kind: [encode(part, refer, depth=depth + 1) for part in parts(value)]}
    if isinstance(value, _VIEWS):
        return [encode(item, refer, depth=depth + 1) for item in value]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return encode(value.tolist(), refer, depth=depth + 1)
    return {_OBJECT: [refer(value)]}


def _integer(value: int) -> Any:
    return value if value.bit_length() <= _JSON_INT_BITS else {"int": [hex(value)]}


def decode(node: Any, resolve: Resolve, *, depth: int = 0) -> Any:
    """Convert back to a value of exactly the types above. Raises WireError for anything that `encode` does not write.

    The bytes choose a value and nothing else: no type, method or comparison comes with them.
    """
    if depth > MAX_DEPTH:
        raise WireError(f"a value is nested deeper than {MAX_DEPTH}")
    if isinstance(node, list):
        return [decode(item, resolve, depth=depth + 1) for item in node]
    if not isinstance(node, dict):
        return node
    ((kind, parts),) = node.items() if len(node) == 1 else (("", None),)
    if not isinstance(parts, list):
        raise WireError("an object of JSON that is no value")
    decoded = [decode(part, resolve, depth=depth + 1) for part in parts]
    try:
        if kind == _OBJECT:
            (number,) = decoded
            return resolve(number)
        if kind == "int":
            (digits,) = decoded
            return int(digits, 16)
        return _KINDS[kind][2](*decoded)
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError) as error:
        raise WireError(f"no value of kind {kind!r:.40}") from error


def pack(message: Any) -> bytes:
    """Encode one message. Raises WireError if it is too long."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > MAX_BYTES:
        raise WireError(f"{len(body)} bytes; at most {MAX_BYTES} cross at a time")
    return LENGTH.pack(len(body)) + body


def unpack(read: Callable[[int], bytes]) -> Any:
    """Read one message by `read`, which returns exactly as many bytes as it is asked for."""
    (length,) = LENGTH.unpack(read(LENGTH.size))
    if length > MAX_BYTES:
        raise WireError(f"a message of {length} bytes; at most {MAX_BYTES} cross at a time")
    try:
        return json.loads(read(length))
    except (ValueError, RecursionError) as error:
        raise WireError("a message that is not JSON") from error
