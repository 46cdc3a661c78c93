"""Stored bytes as a response: streamed, named, and known by their hash."""

from collections.abc import Generator
from typing import Any
from urllib.parse import quote

from anyio import CancelScope
from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

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


class ClosedStream(StreamingResponse):
    """Pieces that are closed with the answer, also where the caller hangs up halfway.

    Otherwise the transaction in which they are read would stay open until the garbage collector comes by.
    """

    def __init__(self, pieces: Generator[bytes], **more: Any) -> None:
        super().__init__(pieces, **more)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):
                await run_in_threadpool(self._pieces.close)


def download(request: Request, *, sha256: str, size_bytes: int, filename: str, media_type: str) -> Response:
    """The whole blob; 304 where the caller has it already."""
    headers = {
        "etag": f'"{sha256}"',
        "content-disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
        "x-content-type-options": "nosniff",
    }
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return ClosedStream(_chunks(sha256), media_type=media_type, headers=headers | {"content-length": str(size_bytes)})


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


def _chunks(sha256: str) -> Generator[bytes]:
    """One snapshot for all chunks, so that a blob deleted meanwhile is still sent whole."""
    with transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield from blobs.stream(session, sha256)
