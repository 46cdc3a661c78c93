"""Frames from a verifier's process to its reader: `length (u32) | kind (1 byte) | body`, length at most 64 KiB.

An untrusted process writes them, so the reader checks the length before it waits for the bytes, and all content.
"""

import struct
from collections.abc import Iterator, Mapping
from json import dumps

RESULT_FD = 3
"""Descriptor of the pipe for frames in a verifier's process."""
MAX_FRAME_BYTES = 65_536
READY = b"R"
"""The verifier is compiled; the clock of the first row starts."""
NUMBER = b"N"
"""A finite score and nothing else: `score (f64) | ms (f64)`."""
RECORD = b"J"
"""Everything else: the record as JSON."""
IF_STOPPED = b"I"
"""The score of the row in progress if its process does not survive it, as the body of `NUMBER`."""
_LENGTH = struct.Struct("!I")
_NUMBER = struct.Struct("!Icdd")
NUMBER_BODY = struct.Struct("!dd")


class FrameError(ValueError):
    """Bytes that no honest process writes."""


def ready() -> bytes:
    return _LENGTH.pack(1) + READY


def number(score: float, *, ms: float) -> bytes:
    return _NUMBER.pack(1 + NUMBER_BODY.size, NUMBER, score, ms)


def if_stopped(score: float) -> bytes:
    return _NUMBER.pack(1 + NUMBER_BODY.size, IF_STOPPED, score, 0.0)


def record(fields: Mapping[str, object]) -> bytes:
    """Encode a record as JSON; lone surrogates become `?`."""
    body = dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
    return _LENGTH.pack(1 + len(body)) + RECORD + body


class FrameReader:
    """Splits a byte stream into frames, however it is chunked."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (kind, body) of each complete frame. Raises FrameError on a length of 0 or above the limit."""
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer, start)
                if not 0 < length <= MAX_FRAME_BYTES:
                    raise FrameError(f"a frame of {length} bytes; allowed are 1 to {MAX_FRAME_BYTES}")
                end = start + _LENGTH.size + length
                if len(self._buffer) < end:
                    return
                body = bytes(self._buffer[start + _LENGTH.size : end])
                start = end
                yield body[:1], body[1:]
        finally:
            del self._buffer[:start]

    @property
    def pending_bytes(self) -> int:
        """Bytes of an incomplete frame."""
        return len(self._buffer)
