"""Encoding detection, and conversion to UTF-8.

A byte order mark decides; without one, NUL bytes at every other position mean UTF-16, and all else is UTF-8 until
proved otherwise. Legacy encodings are guessed only for CSV: JSON is always Unicode, where a guess would hide damage.
"""

import codecs
import io
import re
from typing import Any, BinaryIO

from charset_normalizer import from_bytes

from backend.errors import AppError

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Longest first where one mark is a prefix of another."""
LEGACY = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "shift_jis", "gb18030", "big5", "euc_kr", "euc_jp"]
PIECE_BYTES = 1024 * 1024
SAMPLE_BYTES = 64 * 1024
UNDECODABLE = re.compile(r"[\udc80-\udcff]")
DECODED = re.compile(r"[^\x00-\x7f\udc80-\udcff]")
NOT_WESTERN = re.compile(r"[\ufffd\x80-\x9f]|[À-ÿŠšŽžŒœŸ]{3}|[A-Za-zÀ-ÿ][¡¢£¤¥¦§¨©«¬®¯±²³´µ¶·¸¹»¼½¾¿][A-Za-zÀ-ÿ]")
"""What bytes of another encoding look like in Windows-1252: runs of accents, symbols inside words."""
BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
CONTEXT_BYTES = 200


def detect_encoding(head: bytes) -> tuple[str, int]:
    """Return (encoding, length of the byte order mark), judged by the first bytes; UTF-8 by default."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding, len(mark)
    pairs = len(head) // 2
    even, odd = head[: 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if pairs >= 4 and odd > pairs * 0.4 and even < pairs * 0.05:
        return "utf-16-le", 0
    if pairs >= 4 and even > pairs * 0.4 and odd < pairs * 0.05:
        return "utf-16-be", 0
    return "utf-8", 0


class Utf8Stream(io.RawIOBase):
    """A file in another encoding, read as UTF-8. Reading raises AppError for bytes invalid in that encoding."""

    def __init__(self, file: BinaryIO, *, encoding: str, start: int) -> None:
        self.file = file
        self.encoding = encoding
        self.start = start
        self.position = 0
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = io.SEEK_SET, /) -> int:
        """Rewind to the beginning and read on to `position`, counted in bytes of UTF-8."""
        if whence == io.SEEK_CUR and position == 0:
            return self.position
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the beginning")
        self.file.seek(self.start)
        self.decoder = codecs.getincrementaldecoder(self.encoding)()
        self.ready, self.ended, self.position = b"", False, 0
        while self.position < position and self.read(min(position - self.position, PIECE_BYTES)):
            pass
        return self.position

    def readinto(self, buffer: Any, /) -> int:
        while not self.ready and not self.ended:
            piece = self.file.read(PIECE_BYTES)
            self.ended = not piece
            try:
                self.ready = self.decoder.decode(piece, final=self.ended).encode()
            except UnicodeError as error:
                raise AppError(
                    f"The file starts as {self.encoding.upper()} text but contains other bytes later ({error}): "
                    "save it as UTF-8.",
                    code="invalid_encoding",
                    param="file",
                ) from None
        count = min(len(buffer), len(self.ready))
        buffer[:count], self.ready = self.ready[:count], self.ready[count:]
        self.position += count
        return count


def legacy_encoding(file: BinaryIO) -> str:
    """Detect the encoding of a table without a byte order mark: UTF-8 if any of its non-ASCII characters is.

    Reads the rest of the file. Raises AppError if the bytes fit none of the encodings tried.
    """
    sample = bytearray()
    undecodable = decoded = False
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    while piece := file.read(PIECE_BYTES):
        text = decoder.decode(piece)
        undecodable = undecodable or UNDECODABLE.search(text) is not None
        decoded = decoded or DECODED.search(text) is not None
        position = 0
        while len(sample) < SAMPLE_BYTES and (found := BEYOND_ASCII.search(piece, position)):
            position = found.end() + CONTEXT_BYTES
            sample += piece[max(0, found.start() - CONTEXT_BYTES) : position] + b"\n"
    if decoded or not undecodable:
        return "utf-8"
    return _guess(bytes(sample))


def _guess(sample: bytes) -> str:
    """Prefer Windows-1252 where the text is plausible: statistics need more text than short rows have."""
    western = sample.decode("cp1252", errors="replace")
    if NOT_WESTERN.search(western) is None:
        return "cp1252"
    best = from_bytes(sample, cp_isolation=LEGACY, steps=5, chunk_size=2048).best()
    if best is None:
        raise AppError(
            "The file is not UTF-8, and its encoding cannot be detected: save it as UTF-8.",
            code="invalid_encoding",
            param="file",
        )
    return best.encoding
