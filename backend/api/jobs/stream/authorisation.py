"""Who may go on watching: asked again and again, once for all who watch, however many they are."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from backend.api.http.authentication import Caller, still_known

ASKED_EVERY_S = 15.0
log = structlog.get_logger()


class Admission:
    """Of one caller to one stream, until it is `over`."""

    def __init__(self, who: Caller, at_end: Callable[[], None]) -> None:
        self.who = who
        self.over = False
        self._at_end = at_end

    def end(self) -> None:
        self.over = True
        self._at_end()


class Admissions:
    """Those of this process, asked about until the last of them is given back."""

    def __init__(self) -> None:
        self._held: set[Admission] = set()
        self._asking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def held(self, who: Caller, *, at_end: Callable[[], None]) -> AsyncIterator[Admission]:
        """An admission that ends, and says so by `at_end`, when the caller is not known any more."""
        admission = Admission(who, at_end)
        self._held.add(admission)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        try:
            yield admission
        finally:
            self._held.discard(admission)
            if not self._held and self._asking is not None:
                self._asking.cancel()
                self._asking = None

    async def _ask(self) -> None:
        """Where the database does not answer, nobody is sent away."""
        while True:
            await asyncio.sleep(ASKED_EVERY_S)
            asked = {admission.who for admission in self._held}
            try:
                gone = asked - await run_in_threadpool(still_known, asked)
            except SQLAlchemyError as error:
                log.warning("not known who may go on watching", error=str(error))
                continue
            for admission in [each for each in self._held if each.who in gone]:
                admission.end()
