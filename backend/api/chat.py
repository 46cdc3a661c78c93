"""`/v1/chat/completions`: OpenAI's chat on base models and on what was trained, whole or as server-sent events.

Nothing is computed here: a chat server beside a GPU answers, and this passes its words on (backend.chat).
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from backend.api.http.dependencies import Auth
from backend.api.http.errors import ErrorBody, ErrorDetail
from backend.chat.client import ChatClient
from backend.chat.model_names import served
from backend.chat.protocol import ChatRequest, Piece, PromptRead, RequestRefused
from backend.chat.request import ChatBody, require_honourable
from backend.chat.response_objects import ChatCompletion, ResponseHead, StreamedResponse, WholeResponse
from backend.db.engine import transaction
from backend.errors import AppError
from backend.ids import new_id
from backend.settings import settings

HEARTBEAT_S = 15
CLIENT_CLOSED = 499
Answer = TypeVar("Answer")
router = APIRouter(prefix="/chat", tags=["chat"])


@router.post(
    "/completions",
    response_model=ChatCompletion,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Chunks where `stream` is true."}},
)
async def create_chat_completion(body: ChatBody, request: Request, who: Auth) -> ChatCompletion | Response:
    """Answer a conversation. An answer that has begun may still fail; a stream then ends with an error event."""
    require_honourable(body)
    asked = await run_in_threadpool(_asked, body, who.project)
    heading = ResponseHead(id=asked.id, created=int(time.time()), model=body.model, n=asked.n)
    caller: ChatClient = request.app.state.chat_caller
    pieces = caller.ask(asked)
    if not body.stream:
        return await _unless_gone(request, _whole(pieces, heading))
    begun = await _unless_gone(request, _beginning(pieces))
    wants_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    events = _events(begun, pieces, StreamedResponse(heading, with_usage=wants_usage))
    return EventSourceResponse(events, ping=HEARTBEAT_S, sep="\n")


def _asked(body: ChatBody, project: str) -> ChatRequest:
    """The request as a server takes it. Raises AppError 404 where there is no such model in the caller's project."""
    with transaction(project=project) as session:
        known = served(session, body.model, models=settings().models, hub=settings().chat_hub_models)
    return ChatRequest(
        id=new_id("chatcmpl"),
        project=project,
        model=body.model,
        base=known.base,
        adapter=known.adapter,
        messages=[message.plain() for message in body.messages],
        max_tokens=body.most_tokens,
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        n=body.n or 1,
        stop=list(body.stop or ()),
        seed=body.seed,
        top_logprobs=body.wanted_logprobs,
    )


async def _whole(pieces: AsyncGenerator[Piece], heading: ResponseHead) -> ChatCompletion:
    gathered = WholeResponse(heading)
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, RequestRefused):
                raise piece.as_error()
            if (answer := gathered.add(piece)) is not None:
                return answer
    raise AssertionError("an answer ends with its last piece")


async def _beginning(pieces: AsyncGenerator[Piece]) -> PromptRead:
    """What is known before the first word, so that a refusal is an answer of its own and no event of a stream."""
    async for piece in pieces:
        if isinstance(piece, RequestRefused):
            await pieces.aclose()
            raise piece.as_error()
        if isinstance(piece, PromptRead):
            return piece
    raise AssertionError("an answer begins before it ends")


async def _events(
    begun: PromptRead, pieces: AsyncGenerator[Piece], streamed: StreamedResponse
) -> AsyncIterator[ServerSentEvent]:
    for chunk in streamed.chunks(begun):
        yield _event(chunk.as_data(with_usage=streamed.with_usage))
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, RequestRefused):
                    raise piece.as_error()
                for chunk in streamed.chunks(piece):
                    yield _event(chunk.as_data(with_usage=streamed.with_usage))
    except AppError as error:
        detail = ErrorDetail(message=error.message, type=error.type, param=error.param, code=error.code)
        yield _event(json.dumps(ErrorBody(error=detail).model_dump()))
        return
    yield _event("[DONE]")


def _event(data: str) -> ServerSentEvent:
    return ServerSentEvent(data=data, sep="\n")


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of the work, which is given up as soon as the caller has hung up."""
    working, gone = asyncio.create_task(work), asyncio.create_task(_hang_up(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise AppError("The caller has hung up.", status=CLIENT_CLOSED, code="client_closed_request")
    finally:
        for task in (working, gone):
            task.cancel()
        with suppress(asyncio.CancelledError, AppError):
            await working


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
