"""Bytes to text: which encoding a file is in, and the same text as UTF-8.

A byte order mark decides; without one NUL bytes on every other place mean UTF-16, and all else is UTF-8 until proved
otherwise. Only tables in CSV are guessed to be of an older encoding: JSON has none but Unicode, and a guess there would
hide damage.
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
"""Longest first where one begins like another."""
OLDER = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "shift_jis", "gb18030", "big5", "euc_kr", "euc_jp"]
PIECE_BYTES = 1024 * 1024
SAMPLE_BYTES = 64 * 1024
BROKEN = re.compile(r"[\udc80-\udcff]")
PROPER = re.compile(r"[^\x00-\x7f\udc80-\udcff]")
NOT_WESTERN = re.compile(r"[\ufffd\x80-\x9f]|[À-ÿŠšŽžŒœŸ]{3}|[A-Za-zÀ-ÿ][¡¢£¤¥¦§¨©«¬®¯±²³´µ¶·¸¹»¼½¾¿][A-Za-zÀ-ÿ]")
"""What Windows-1252 shows where the bytes are another encoding's: runs of accents, signs in the midst of words."""
BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
CONTEXT_BYTES = 200


def marked_encoding(head: bytes) -> tuple[str, int]:
    """(encoding, bytes of the mark) as far as the first bytes tell: UTF-8 where nothing speaks against it."""
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
    """A file of another encoding, read as UTF-8. Raises AppError where its bytes are not of that encoding."""

    def __init__(self, file: BinaryIO, *, encoding: str, start: int) -> None:
        self.file = file
        self.encoding = encoding
        self.start = start
        self.place = 0
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
        """Back to the beginning, and on from there, counted in bytes of UTF-8."""
        if whence == io.SEEK_CUR and place == 0:
            return self.place
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the beginning")
        self.file.seek(self.start)
        self.decoder = codecs.getincrementaldecoder(self.encoding)()
        self.ready, self.ended, self.place = b"", False, 0
        while self.place < place and self.read(min(place - self.place, PIECE_BYTES)):
            pass
        return self.place

    def readinto(self, buffer: Any, /) -> int:
        while not self.ready and not self.ended:
            piece = self.file.read(PIECE_BYTES)
            self.ended = not piece
            try:
                self.ready = self.decoder.decode(piece, final=self.ended).encode()
            except UnicodeError as error:
                raise AppError(
                    f"The file begins like {self.encoding.upper()} text but goes on otherwise ({error}): "
                    "save it as UTF-8.",
                    code="invalid_encoding",
                    param="file",
                ) from None
        count = min(len(buffer), len(self.ready))
        buffer[:count], self.ready = self.ready[:count], self.ready[count:]
        self.place += count
        return count


def older_encoding(file: BinaryIO) -> str:
    """The encoding of a table without a mark, judged by all of it: UTF-8 if any of its letters beyond ASCII is.

    Reads the file from where it stands. Raises AppError where the bytes fit no encoding that is tried.
    """
    sample = bytearray()
    broken = proper = False
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    while piece := file.read(PIECE_BYTES):
        text = decoder.decode(piece)
        broken = broken or BROKEN.search(text) is not None
        proper = proper or PROPER.search(text) is not None
        place = 0
        while len(sample) < SAMPLE_BYTES and (found := BEYOND_ASCII.search(piece, place)):
            place = found.end() + CONTEXT_BYTES
            sample += piece[max(0, found.start() - CONTEXT_BYTES) : place] + b"\n"
    if proper or not broken:
        return "utf-8"
    return _guessed(bytes(sample))


def _guessed(sample: bytes) -> str:
    """Western European where it reads as such, for which statistics need more text than short rows have."""
    western = sample.decode("cp1252", errors="replace")
    if NOT_WESTERN.search(western) is None:
        return "cp1252"
    best = from_bytes(sample, cp_isolation=OLDER, steps=5, chunk_size=2048).best()
    if best is None:
        raise AppError(
            "The file is neither UTF-8 nor in an encoding that can be told from its text: save it as UTF-8.",
            code="invalid_encoding",
            param="file",
        )
    return best.encoding
