"""The paths that the client calls, whatever stands in the browser's address."""

import inspect
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from frontend.api import ApiError, Client
from frontend.api.http import segment, segments

CRAFTED = "..?limit=1#x%2F.."
PLAIN = "plain"


def arguments(method: Callable[..., Any], given: str) -> dict[str, Any]:
    """Return what a method must be called with: `given` for each text, also where an id stands in an object."""
    kinds = {
        "str": given,
        "int": 1,
        "float": 0.5,
        "bytes": b"",
        "IO": b"",
        "ExportObject": {"id": given, "job_id": given},
        "list": [],
    }
    return {
        name: kinds.get(str(getattr(parameter.annotation, "__name__", parameter.annotation)), {})
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }


def paths(name: str, given: str) -> list[str]:
    """Return the raw paths of the requests that a method makes."""
    seen: list[str] = []

    def record(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path.decode().partition("?")[0])
        return httpx.Response(200, json={"data": [], "has_more": False, "records": [{}], "choices": []})

    with httpx.Client(base_url="http://api", transport=httpx.MockTransport(record)) as connections:
        method = getattr(Client(connections, key="rlsd-any"), name)
        try:
            result = method(**arguments(method, given))
            if inspect.isgenerator(result):
                list(result)
        except (KeyError, ApiError):
            pass
    return seen


METHODS = [name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")]
TRANSPORT = {"call", "get_json", "get_bytes", "stream_events"}
MODEL_NAMES = {"model", "delete_model"}


@pytest.mark.parametrize("name", sorted({*METHODS} - TRANSPORT - MODEL_NAMES))
def test_a_crafted_id_stays_one_segment_of_the_path(name: str) -> None:
    """A link such as `?dataset=../verifiers/ver-1` would otherwise steer the signed-in user's request elsewhere."""
    plain, crafted = paths(name, PLAIN), paths(name, CRAFTED)
    assert plain
    assert crafted == [path.replace(PLAIN, segment(CRAFTED)) for path in plain]
    assert paths(name, "../verifiers/ver-1") == [path for path in plain if PLAIN not in path]


@pytest.mark.parametrize("given", ["..", ".", ""])
@pytest.mark.parametrize("name", ["file", "delete_file", "verifier", "job", "model", "delete_model"])
def test_an_id_that_would_lead_to_another_route_is_not_sent(name: str, given: str) -> None:
    assert paths(name, given) == []


def test_the_parts_of_a_models_name_stay_parts() -> None:
    assert segments("ft:org/model:a?b") == "ft:org/model:a%3Fb"
    for crafted in ("../files", "a/../../files", "a//b", "/files", "a/."):
        assert paths("model", crafted) == paths("delete_model", crafted) == []
