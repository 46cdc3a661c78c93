"""The images of one file, wherever its rows keep them: data URLs, base64, bytes of a struct, paths into its ZIP.

Each is decoded once to see that it can be, within bounds, and is known from then on by the SHA-256 of its bytes.
Nothing is fetched: a question must not change while it is being learnt.
"""

import base64
import binascii
import hashlib
import io
import re
import tempfile
from collections.abc import Iterator
from typing import Any, Protocol

from PIL import Image

from backend.datasets.formats.json_lines import BadLineError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What is tried, as by the engine. Pillow knows many more, some of which start other programs."""
MAX_IMAGE_BYTES = 16 * 1024 * 1024
MAX_PIXELS = 4096 * 4096
DATA_URL = re.compile(r"data:image/[\w.+-]+(?:;[\w-]+=[\w-]+)*;base64,", re.IGNORECASE)
BASE64 = re.compile(r"[A-Za-z0-9+/\s]{32,}={0,2}\s*")
ENCODED_IMAGE = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|Qk)[A-Za-z0-9+/\s]{21,}={0,2}\s*")
"""Base64 of bytes that begin as images of `FORMATS` do."""
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
NO_ALBUM = "which cannot be found: send a ZIP with the table and its images"


class ImageSource(Protocol):
    """Where paths lead. `lacks` goes on after the path that leads nowhere."""

    @property
    def lacks(self) -> str: ...

    def picture(self, path: str, *, max_bytes: int) -> bytes | None: ...


class ImageStore:
    """Keeps each image once, in a temporary file without a name."""

    def __init__(self, archive: ImageSource | None = None) -> None:
        self._archive = archive
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0

    def __enter__(self) -> "ImageStore":
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def size_bytes(self) -> int:
        return self._end

    def keep(self, value: Any, *, where: str) -> str:
        """The SHA-256 of the image that a row's value holds or names. Raises BadLineError saying what is wrong."""
        encoded = self._encoded(value, where=where)
        if len(encoded) > MAX_IMAGE_BYTES:
            raise BadLineError("image_too_large", f"has an image of more than {MAX_IMAGE_BYTES // 1024**2} MiB {where}")
        sha256 = hashlib.sha256(encoded).hexdigest()
        if sha256 not in self._places:
            _check(encoded, where=where)
            self._spool.seek(self._end)
            self._spool.write(encoded)
            self._places[sha256] = (self._end, len(encoded))
            self._end += len(encoded)
        return sha256

    def read(self, sha256: str) -> bytes:
        place, size = self._places[sha256]
        self._spool.seek(place)
        return self._spool.read(size)

    def in_order(self) -> Iterator[tuple[str, bytes]]:
        """(SHA-256, bytes) of each image, by SHA-256: two who store the same images then never wait for each other."""
        for sha256 in sorted(self._places):
            yield sha256, self.read(sha256)

    def _encoded(self, value: Any, *, where: str) -> bytes:
        if isinstance(value, dict):
            held = held_image(value)
            if held is None or isinstance(held, dict):
                raise BadLineError("image_missing", f"has an image without bytes, address or path {where}")
            return self._encoded(held, where=where)
        if not isinstance(value, str) or not value.strip():
            raise BadLineError("image_missing", f"has neither an image nor the path of one {where}")
        if found := DATA_URL.match(value.strip()):
            return _decoded(value.strip()[found.end() :], where=where)
        if ADDRESS.match(value):
            raise BadLineError(
                "images_not_supported",
                f"has an image that is elsewhere {where} ({value[:60]!r}), and none is fetched: write it as "
                "data:image/png;base64,... or send a ZIP with the table and its images",
            )
        return self._at_path(value, where=where)

    def _at_path(self, value: str, *, where: str) -> bytes:
        """The bytes at a path in the archive; a text that is none, but base64, is the image itself."""
        encoded = None
        if self._archive is not None and len(value) < 4096:
            encoded = self._archive.picture(value, max_bytes=MAX_IMAGE_BYTES)
        if encoded is not None:
            return encoded
        if BASE64.fullmatch(value) and (self._archive is None or ENCODED_IMAGE.match(value)):
            return _decoded(value, where=where)
        why = self._archive.lacks if self._archive else NO_ALBUM
        raise BadLineError("image_missing", f"names the image {value[:60]!r} {where}, {why}")


def held_image(value: Any) -> Any:
    """What stands for the image: the value itself, or what its object says of it; None where it says nothing."""
    if not isinstance(value, dict):
        return value
    return next((value[key] for key in ("bytes", "url", "image_url", "image", "path") if value.get(key)), None)


def without_images(value: Any) -> Any:
    """The same value for those who read words: the bytes of its images left out."""
    if isinstance(value, str):
        if found := DATA_URL.match(value):
            return value[: found.end()]
        return "" if len(value) >= 64 and ENCODED_IMAGE.fullmatch(value) else value
    if isinstance(value, list):
        return [without_images(each) for each in value]
    if isinstance(value, dict):
        return {key: without_images(each) for key, each in value.items()}
    return value


def _decoded(text: str, *, where: str) -> bytes:
    if len(text) > MAX_IMAGE_BYTES * 4 // 3 + 1024:
        raise BadLineError("image_too_large", f"has an image of more than {MAX_IMAGE_BYTES // 1024**2} MiB {where}")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadLineError("image_unreadable", f"has an image that is not base64 {where}: {error}") from None


def _check(encoded: bytes, *, where: str) -> None:
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadLineError(
                    "image_too_large",
                    f"has an image of {image.width} x {image.height} pixels {where}; {MAX_PIXELS:,} are the most",
                )
            image.load()
    except BadLineError:
        raise
    except Image.DecompressionBombError:
        raise BadLineError(
            "image_too_large", f"has an image of far too many pixels {where}; {MAX_PIXELS:,} are the most"
        ) from None
    except Exception as error:  # noqa: BLE001 - Pillow raises what its plugins do, about a dozen types
        reason = " ".join(str(error).replace(repr(encoded)[:20], "").split())[:120]
        kind = reason if reason and "BytesIO" not in reason else f"none of {', '.join(FORMATS)}"
        raise BadLineError("image_unreadable", f"has an image that cannot be read {where}: {kind}") from None
