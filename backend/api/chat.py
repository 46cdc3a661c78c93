"""`/v1/chat/completions`: OpenAI's chat with base and fine-tuned models, whole or as server-sent events.

Nothing is computed here: a chat server on a GPU machine generates the completion, and this relays it (backend.chat).
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

from backend.api.http.errors import ErrorBody, ErrorDetail
from backend.api.http.rights import ModelsUse
from backend.base_models import base_models
from backend.chat.client import ChatClient
from backend.chat.model_names import resolve_model
from backend.chat.protocol import ChatRequest, Piece, PromptRead, RequestRefused
from backend.chat.request import ChatBody, require_supported
from backend.chat.response_objects import ChatCompletion, ResponseHead, StreamedResponse, WholeResponse
from backend.db.engine import transaction
from backend.errors import AppError
from backend.ids import new_id
from backend.settings import settings

HEARTBEAT_S = 15
CLIENT_CLOSED = 499
CHUNK = {"schema": {"$ref": "#/components/schemas/Chunk"}}
"""What the data of each event is; `backend.app` describes it."""
Result = TypeVar("Result")
router = APIRouter(prefix="/chat", tags=["chat"])


@router.post(
    "/completions",
    response_model=ChatCompletion,
    responses={200: {"content": {"text/event-stream": CHUNK}, "description": "Chunks where `stream` is true."}},
)
async def create_chat_completion(body: ChatBody, request: Request, caller: ModelsUse) -> ChatCompletion | Response:
    """Complete a conversation. A completion may fail after it has begun; a stream then ends with an error event."""
    require_supported(body)
    chat_request = await run_in_threadpool(_chat_request, body, caller.project)
    head = ResponseHead(id=chat_request.id, created=int(time.time()), model=body.model, n=chat_request.n)
    client: ChatClient = request.app.state.chat_client
    pieces = client.complete(chat_request)
    if not body.stream:
        return await _until_disconnect(request, _whole(pieces, head))
    prompt_read = await _until_disconnect(request, _first_piece(pieces))
    with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    events = _events(prompt_read, pieces, StreamedResponse(head, with_usage=with_usage))
    return EventSourceResponse(events, ping=HEARTBEAT_S, sep="\n")


def _chat_request(body: ChatBody, project: str) -> ChatRequest:
    """Build the request for a chat server. Raises AppError 404 if the project has no such model."""
    with transaction(project=project) as session:
        model = resolve_model(
            session, body.model, project=project, models=base_models(), hub=settings().chat_hub_models
        )
        skips = model.skips_special_tokens if body.skip_special_tokens is None else body.skip_special_tokens
    return ChatRequest(
        id=new_id("chatcmpl"),
        project=project,
        model=body.model,
        base=model.base,
        adapter=model.adapter,
        messages=[message.plain() for message in body.messages],
        max_tokens=body.token_limit,
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        n=body.n or 1,
        stop=list(body.stop or ()),
        skip_special_tokens=skips,
        seed=body.seed,
        top_logprobs=body.requested_logprobs,
        fold_system=model.folds_system if body.fold_system is None else body.fold_system,
    )


async def _whole(pieces: AsyncGenerator[Piece], head: ResponseHead) -> ChatCompletion:
    response = WholeResponse(head)
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, RequestRefused):
                raise piece.as_error()
            if (completion := response.add(piece)) is not None:
                return completion
    raise AssertionError("a response ends with RequestDone or RequestRefused")


async def _first_piece(pieces: AsyncGenerator[Piece]) -> PromptRead:
    """Wait for the first piece before a stream starts, so that a refusal is an HTTP error and not an event."""
    async for piece in pieces:
        if isinstance(piece, RequestRefused):
            await pieces.aclose()
            raise piece.as_error()
        if isinstance(piece, PromptRead):
            return piece
    raise AssertionError("PromptRead precedes the end of a response")


async def _events(
    prompt_read: PromptRead, pieces: AsyncGenerator[Piece], response: StreamedResponse
) -> AsyncIterator[ServerSentEvent]:
    for chunk in response.chunks(prompt_read):
        yield _event(chunk.as_data(with_usage=response.with_usage))
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, RequestRefused):
                    raise piece.as_error()
                for chunk in response.chunks(piece):
                    yield _event(chunk.as_data(with_usage=response.with_usage))
    except AppError as error:
        detail = ErrorDetail(message=error.message, type=error.type, param=error.param, code=error.code)
        yield _event(json.dumps(ErrorBody(error=detail).model_dump()))
        return
    yield _event("[DONE]")


def _event(data: str) -> ServerSentEvent:
    return ServerSentEvent(data=data, sep="\n")


async def _until_disconnect(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of `work`; cancel it if the client disconnects first."""
    working, disconnected = asyncio.create_task(work), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((working, disconnected), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise AppError("The client closed the connection.", status=CLIENT_CLOSED, code="client_closed_request")
    finally:
        for task in (working, disconnected):
            task.cancel()
        with suppress(asyncio.CancelledError, AppError):
            await working


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
