"""Inside: an event loop without sockets, which the sandbox refuses. Coroutines, tasks and timers work, files do not.

asyncio is imported when a verifier needs it: few do, and it costs as much as all the rest of the server.
"""

import time
from collections.abc import Awaitable
from functools import cache
from typing import Any

LIBRARY = "asyncio"


class _Clock:
    """Stands where asyncio has a selector. Nothing but time can end a wait here."""

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise RuntimeError("the verifier awaits something that nothing here will finish")
        if timeout > 0:
            time.sleep(timeout)
        return []


@cache
def install() -> None:
    """Let `asyncio.run` make a loop that needs no socket."""
    import asyncio

    class Loop(asyncio.BaseEventLoop):
        def __init__(self) -> None:
            super().__init__()
            self._selector = _Clock()

        def _process_events(self, event_list: list[object]) -> None:
            pass

        def _write_to_self(self) -> None:
            pass

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return Loop()

    asyncio.set_event_loop_policy(Policy())


def run(awaitable: Awaitable[Any]) -> Any:
    import asyncio

    async def result() -> Any:
        return await awaitable

    install()
    return asyncio.run(result())
