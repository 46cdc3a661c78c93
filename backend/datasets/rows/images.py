"""The images of one file, in any form its rows use: data URLs, base64, bytes of a struct, paths into its ZIP.

Each is decoded once, within limits, to check that it is valid, and is then identified by the SHA-256 of its bytes.
Nothing is downloaded: a question must not change during training.
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
"""Allowed formats, the same as in the engine. Pillow supports many more, some of which start other programs."""
MAX_IMAGE_BYTES = 16 * 1024 * 1024
MAX_PIXELS = 4096 * 4096
DATA_URL = re.compile(r"data:image/[\w.+-]+(?:;[\w-]+=[\w-]+)*;base64,", re.IGNORECASE)
BASE64 = re.compile(r"[A-Za-z0-9+/\s]{32,}={0,2}\s*")
ENCODED_IMAGE = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|Qk)[A-Za-z0-9+/\s]{21,}={0,2}\s*")
"""Base64 of bytes with the signature of one of `FORMATS`."""
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
NO_ARCHIVE = "which cannot be found: upload a ZIP with the table and its images"


class ImageSource(Protocol):
    """Resolves the paths of images. `missing_reason` continues a message that names a path without an image."""

    @property
    def missing_reason(self) -> str: ...

    def read_image(self, path: str, *, max_bytes: int) -> bytes | None: ...


class ImageStore:
    """Stores each distinct image once, in an unnamed temporary file."""

    def __init__(self, archive: ImageSource | None = None) -> None:
        self._archive = archive
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        self._extents: dict[str, tuple[int, int]] = {}
        self._end = 0

    def __enter__(self) -> "ImageStore":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._extents)

    @property
    def size_bytes(self) -> int:
        return self._end

    def keep(self, value: Any, *, where: str) -> str:
        """Store the image that a row's value contains or names; returns its SHA-256. Raises BadLineError."""
        encoded = self._encoded(value, where=where)
        if len(encoded) > MAX_IMAGE_BYTES:
            raise BadLineError("image_too_large", f"has an image of more than {MAX_IMAGE_BYTES // 1024**2} MiB {where}")
        sha256 = hashlib.sha256(encoded).hexdigest()
        if sha256 not in self._extents:
            _check(encoded, where=where)
            self._file.seek(self._end)
            self._file.write(encoded)
            self._extents[sha256] = (self._end, len(encoded))
            self._end += len(encoded)
        return sha256

    def read(self, sha256: str) -> bytes:
        offset, size = self._extents[sha256]
        self._file.seek(offset)
        return self._file.read(size)

    def in_order(self) -> Iterator[tuple[str, bytes]]:
        """Yield (SHA-256, bytes) sorted by SHA-256, so that two writers of the same images cannot deadlock."""
        for sha256 in sorted(self._extents):
            yield sha256, self.read(sha256)

    def _encoded(self, value: Any, *, where: str) -> bytes:
        if isinstance(value, dict):
            inner = image_value(value)
            if inner is None or isinstance(inner, dict):
                raise BadLineError("image_missing", f"has an image without bytes, URL or path {where}")
            return self._encoded(inner, where=where)
        if not isinstance(value, str) or not value.strip():
            raise BadLineError("image_missing", f"has neither an image nor a path to one {where}")
        if found := DATA_URL.match(value.strip()):
            return _decoded(value.strip()[found.end() :], where=where)
        if ADDRESS.match(value):
            raise BadLineError(
                "images_not_supported",
                f"has a remote image {where} ({value[:60]!r}), and images are not downloaded: embed it as "
                "data:image/png;base64,... or upload a ZIP with the table and its images",
            )
        return self._at_path(value, where=where)

    def _at_path(self, value: str, *, where: str) -> bytes:
        """Read the image at a path in the archive; a string that is base64 and no such path is the image itself."""
        encoded = None
        if self._archive is not None and len(value) < 4096:
            encoded = self._archive.read_image(value, max_bytes=MAX_IMAGE_BYTES)
        if encoded is not None:
            return encoded
        if BASE64.fullmatch(value) and (self._archive is None or ENCODED_IMAGE.match(value)):
            return _decoded(value, where=where)
        reason = self._archive.missing_reason if self._archive else NO_ARCHIVE
        raise BadLineError("image_missing", f"names the image {value[:60]!r} {where}, {reason}")


def image_value(value: Any) -> Any:
    """Return the image data, URL or path in a value, which may be an object around it; None if it has none."""
    if not isinstance(value, dict):
        return value
    return next((value[key] for key in ("bytes", "url", "image_url", "image", "path") if value.get(key)), None)


def without_images(value: Any) -> Any:
    """Return the value without the bytes of its images, for readers that only need the text."""
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
                    f"has an image of {image.width} x {image.height} pixels {where}; the limit is {MAX_PIXELS:,}",
                )
            image.load()
    except BadLineError:
        raise
    except Image.DecompressionBombError:
        raise BadLineError(
            "image_too_large", f"has an image with far too many pixels {where}; the limit is {MAX_PIXELS:,}"
        ) from None
    except Exception as error:  # noqa: BLE001 - Pillow raises what its plugins do, about a dozen types
        reason = " ".join(str(error).replace(repr(encoded)[:20], "").split())[:120]
        detail = reason if reason and "BytesIO" not in reason else f"it is not one of {', '.join(FORMATS)}"
        raise BadLineError("image_unreadable", f"has an image that cannot be read {where}: {detail}") from None
