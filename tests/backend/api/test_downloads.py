"""A download ends with the answer, however that ends: what it reads from is not left open."""

import asyncio
from collections.abc import Generator

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from backend.api.downloads import ClosedStream


@pytest.mark.parametrize("spec_version", ["2.0", "2.4"])
def test_pieces_are_closed_when_the_caller_hangs_up(spec_version: str) -> None:
    """Servers tell it in two ways: by a message, or by refusing to send."""
    closed = []

    def pieces() -> Generator[bytes]:
        try:
            while True:
                yield b"piece"
        finally:
            closed.append(True)

    answer = ClosedStream(pieces())
    sent = 0

    async def send(message: Message) -> None:
        nonlocal sent
        sent += 1
        if sent > 3 and spec_version == "2.4":
            raise OSError("gone")

    async def receive() -> Message:
        while sent < 3:
            await asyncio.sleep(0.001)
        return {"type": "http.disconnect"}

    async def answered() -> None:
        await answer({"type": "http", "asgi": {"spec_version": spec_version}}, receive, send)

    if spec_version == "2.4":
        with pytest.raises(ClientDisconnect):
            asyncio.run(answered())
    else:
        asyncio.run(answered())
    assert closed == [True]
