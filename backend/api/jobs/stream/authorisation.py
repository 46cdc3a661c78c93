"""Revalidation of the callers of open streams: at intervals, with one query for all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from backend.api.http.authentication import Caller, still_valid

REVALIDATION_S = 15.0
log = structlog.get_logger()


class Admission:
    """The right of one caller to read one stream, until it is `revoked`."""

    def __init__(self, who: Caller, on_revoked: Callable[[], None]) -> None:
        self.who = who
        self.revoked = False
        self._on_revoked = on_revoked

    def revoke(self) -> None:
        self.revoked = True
        self._on_revoked()


class Admissions:
    """The admissions of this process, revalidated while there is at least one."""

    def __init__(self) -> None:
        self._active: set[Admission] = set()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def admit(self, who: Caller, *, on_revoked: Callable[[], None]) -> AsyncIterator[Admission]:
        """Yield an admission that is revoked, calling `on_revoked`, when the caller is no longer valid."""
        admission = Admission(who, on_revoked)
        self._active.add(admission)
        if self._task is None:
            self._task = asyncio.create_task(self._revalidate())
        try:
            yield admission
        finally:
            self._active.discard(admission)
            if not self._active and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _revalidate(self) -> None:
        """Revoke admissions of callers that are no longer valid. If the database is unreachable, none is revoked."""
        while True:
            await asyncio.sleep(REVALIDATION_S)
            callers = {admission.who for admission in self._active}
            try:
                invalid = callers - await run_in_threadpool(still_valid, callers)
            except SQLAlchemyError as error:
                log.warning("callers of streams not revalidated", error=str(error))
                continue
            for admission in [each for each in self._active if each.who in invalid]:
                admission.revoke()
