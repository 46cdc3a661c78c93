"""Bodies of requests: fields that are not known are refused, and so is JSON that cannot be stored."""

import math
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from backend.errors import AppError

MAX_DEPTH = 64


class RequestBody(BaseModel):
    model_config = ConfigDict(extra="forbid")


async def require_storable_body(request: Request) -> None:
    """Refuse JSON that cannot be stored: NUL characters, lone surrogates, NaN, nesting deeper than `MAX_DEPTH`.

    Checked in a thread: a large body has millions of values, and other requests must not wait for it.
    """
    if request.method == "POST" and "json" in request.headers.get("content-type", "").lower() and await request.body():
        try:
            value = await request.json()
        except (ValueError, RecursionError):  # where a route takes no body: elsewhere FastAPI has refused it
            raise AppError("The body is not valid JSON.", code="invalid_json") from None
        await run_in_threadpool(_check_storable, value, path=(), depth=0)


def _check_storable(value: Any, *, path: tuple[str, ...], depth: int) -> None:
    param = ".".join(path[:8]) or None
    if depth > MAX_DEPTH:
        raise AppError(f"'{param}' is nested deeper than {MAX_DEPTH} levels.", code="too_deep", param=param)
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise AppError(
                f"'{param}' contains a NUL character or a lone surrogate.", code="invalid_characters", param=param
            )
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise AppError(f"'{param}' is not a finite number.", code="invalid_value", param=param)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_storable(name, path=path, depth=depth)
            _check_storable(inner, path=(*path, name), depth=depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_storable(inner, path=(*path, str(index)), depth=depth + 1)
