"""Responses with stored bytes: streamed, with a file name and the hash as ETag."""

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
"""Media types by the first bytes; other images are not stored."""


def download(request: Request, *, sha256: str, size_bytes: int, filename: str, media_type: str) -> Response:
    """Return the whole blob, or 304 if the client has it already."""
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


def image_response(request: Request, data: bytes, *, sha256: str) -> Response:
    """Return an image to be shown in a page, safe whatever its bytes are; only the reader's browser may cache it."""
    headers = {
        "etag": f'"{sha256}"',
        "cache-control": "private, max-age=31536000, immutable",
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
    }
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    media_type = next((kind for start, kind in IMAGE_TYPES.items() if data.startswith(start)), None)
    return Response(data, media_type=media_type or "application/octet-stream", headers=headers)


def _chunks(sha256: str) -> Iterator[bytes]:
    """Yield each chunk in its own transaction, so that a slow reader holds no connection; blobs never change.

    If the blob is deleted meanwhile, the response ends short of its announced length, an error for the client.
    """
    for number in count():
        with transaction() as session:
            chunk = blobs.chunk(session, sha256, number=number)
        if chunk is None:
            return
        yield chunk
