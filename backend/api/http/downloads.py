"""Stored bytes as a response: streamed, named, and known by their hash."""

from collections.abc import Iterator
from itertools import count
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from backend import blobs
from backend.db.engine import transaction

IMAGE_TYPES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
    b"BM": "image/bmp",
}
"""By how their bytes begin; other images are not stored."""


def download(request: Request, *, sha256: str, size_bytes: int, filename: str, media_type: str) -> Response:
    """The whole blob; 304 where the caller has it already."""
    headers = {
        "etag": f'"{sha256}"',
        "content-disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
        "x-content-type-options": "nosniff",
    }
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return StreamingResponse(
        _chunks(sha256), media_type=media_type, headers=headers | {"content-length": str(size_bytes)}
    )


def shown_image(request: Request, data: bytes, *, sha256: str) -> Response:
    """An image for its place in a page: nothing but an image, whoever made it, and kept by nobody but the reader."""
    headers = {
        "etag": f'"{sha256}"',
        "cache-control": "private, max-age=31536000, immutable",
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
    }
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    kind = next((kind for start, kind in IMAGE_TYPES.items() if data.startswith(start)), "application/octet-stream")
    return Response(data, media_type=kind, headers=headers)


def _chunks(sha256: str) -> Iterator[bytes]:
    """Each in a transaction of its own: whoever reads slowly holds no connection meanwhile, and blobs do not change.

    Of one that is deleted meanwhile less comes than was announced, which breaks the answer off.
    """
    for number in count():
        with transaction() as session:
            chunk = blobs.chunk(session, sha256, number=number)
        if chunk is None:
            return
        yield chunk
