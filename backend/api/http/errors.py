"""One body for every error, `{"error": {message, type, param, code}}`, from the domain, FastAPI or a failure."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kombu.exceptions import OperationalError as BrokerError
from psycopg import Error as DriverError
from pydantic import BaseModel
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, TimeoutError
from starlette.exceptions import HTTPException

from backend.errors import AppError, in_words
from backend.quotas import INSUFFICIENT_QUOTA

RETRY_AFTER_S = 5
CONFLICT = "conflict"
RETRYABLE_CONFLICTS = (CONFLICT, "idempotency_key_in_use")
"""Codes of conflicts that may soon be over. Official clients retry any 409 and 429 unless `x-should-retry` is false."""
log = structlog.get_logger()


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    error: ErrorDetail


def error_response(
    error: AppError, *, headers: dict[str, str] | None = None, extra: Mapping[str, Any] | None = None
) -> JSONResponse:
    """Return the error as a response; `extra` are further fields of the body."""
    detail = ErrorDetail(message=error.message, type=error.type, param=error.param, code=error.code)
    retry = {"retry-after": str(RETRY_AFTER_S)} if error.status in (429, 503) else {}
    if error.status == 409 or error.code == INSUFFICIENT_QUOTA:
        retry["x-should-retry"] = "true" if error.code in RETRYABLE_CONFLICTS else "false"
    body = {**(extra or {}), **ErrorBody(error=detail).model_dump()}
    return JSONResponse(body, status_code=error.status, headers={**retry, **(headers or {})})


def internal_error() -> AppError:
    return AppError(
        "The server failed to handle this request: look up its x-request-id in the server's log.",
        status=500,
        code="internal_error",
        type="server_error",
    )


def install_error_handlers(app: FastAPI) -> None:
    """Handle every error that routes and FastAPI raise. `middleware.RequestIds` catches unexpected ones."""

    @app.exception_handler(AppError)
    def refused(request: Request, error: AppError) -> JSONResponse:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return error_response(invalid_request(error.errors()))

    @app.exception_handler(HTTPException)
    def unroutable(request: Request, error: HTTPException) -> JSONResponse:
        return error_response(_from_http(request, error), headers=dict(error.headers or {}))

    @app.exception_handler(DataError)
    def unstorable(request: Request, error: DataError) -> JSONResponse:
        log.warning("value not storable", kind=type(error.orig).__name__)  # its text may contain the value
        return error_response(AppError("A value is outside the range that can be stored.", code="invalid_value"))

    @app.exception_handler(IntegrityError)
    def conflicting(request: Request, error: IntegrityError) -> JSONResponse:
        constraint = error.orig.diag.constraint_name if isinstance(error.orig, DriverError) else None
        log.warning("conflicting change", constraint=constraint)  # its text contains values
        return error_response(
            AppError(
                "Another request changed the same object at the same time: try again.",
                status=409,
                code=CONFLICT,
                type="conflict_error",
            )
        )

    @app.exception_handler(TimeoutError)
    def no_connection(request: Request, error: TimeoutError) -> JSONResponse:
        log.error("no free database connection", error=str(error))
        return error_response(
            AppError("The server is overloaded: try again later.", status=503, code="busy", type="server_error")
        )

    @app.exception_handler(BrokerError)
    def no_broker(request: Request, error: BrokerError) -> JSONResponse:
        log.error("broker not reachable", error=str(error))
        return error_response(
            AppError(
                "The message broker is not reachable: try again.", status=503, code="no_broker", type="server_error"
            )
        )

    @app.exception_handler(OperationalError)
    def no_database(request: Request, error: OperationalError) -> JSONResponse:
        log.error("database not reachable", error=str(error.orig))
        return error_response(
            AppError("The database is not reachable: try again.", status=503, code="no_database", type="server_error")
        )


def invalid_request(problems: Sequence[Any]) -> AppError:
    """Return the first problem that pydantic found, with the parameter's dotted name."""
    problem = problems[0]
    source, *path = problem["loc"]
    if problem["type"] == "json_invalid":
        return AppError(
            f"The body is not valid JSON: {problem['ctx']['error']} at character {path[0] + 1}.", code="invalid_json"
        )
    param = ".".join(map(str, path)) or None
    if param is None and problem["type"] == "value_error":
        sentence = problem["msg"].removeprefix("Value error, ")
        return AppError(f"{sentence[:1].upper()}{sentence[1:]}.", code="invalid_value")
    if param is None:
        return AppError(
            f"The {source} must be a JSON object, sent as application/json.", code="invalid_value", param=None
        )
    if problem["type"] == "missing":
        return AppError(f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)
    if problem["type"] == "extra_forbidden":
        return AppError(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
    return AppError(f"Invalid '{param}': {in_words(problem)}.", code="invalid_value", param=param)


def _from_http(request: Request, error: HTTPException) -> AppError:
    where = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        return AppError(f"Unknown request URL: {where}. See /docs for all routes.", status=404, code="unknown_url")
    if error.status_code == 405:
        return AppError(
            f"Method not allowed: {where}. See /docs for the methods of each route.",
            status=405,
            code="method_not_allowed",
        )
    code = "body_too_large" if error.status_code == 413 else "invalid_request"
    return AppError(str(error.detail), status=error.status_code, code=code)
