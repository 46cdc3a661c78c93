"""Chat with the official client and a real chat server: base models and adapters, whole, streamed, aborted."""

import asyncio
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from typer.testing import CliRunner, Result

from backend.app import app as api_app
from backend.chat.redis_keys import QUEUED, SERVERS
from backend.chat.request import NEUTRAL
from backend.cli.main import app
from backend.db.base import utc_now
from backend.db.blobs import Blob
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.jobs.lifecycle import JobState
from backend.settings import settings
from tests.processes import wait_for
from tests.service.chatting import QUESTION, broker, greedy, trained_job
from tests.service.conftest import Api, answered, refused
from tests.service.test_api_schema import CHECKS

schema = schemathesis.openapi.from_dict(api_app.openapi()).include(path="/v1/chat/completions")


def usage_of(api: Api, model: str) -> dict[str, Any] | None:
    return next((row for row in answered(api.http.get("/v1/usage"))["data"] if row["model"] == model), None)


@pytest.mark.usefixtures("chat_worker")
def test_an_answer_comes_whole(api: Api) -> None:
    answer = api.openai.chat.completions.create(
        model="starter", messages=QUESTION, temperature=0, max_completion_tokens=60, user="somebody"
    )
    assert (answer.object, answer.model, len(answer.choices)) == ("chat.completion", "starter", 1)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 60
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.choices[0].logprobs is None
    assert greedy(api)[:30] == answer.choices[0].message.content[:30]


@pytest.mark.usefixtures("chat_worker")
def test_a_streamed_answer_is_the_whole_one_in_pieces(api: Api) -> None:
    stream = api.openai.chat.completions.create(
        model="starter",
        messages=QUESTION,
        temperature=0,
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == greedy(api)
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert reasons[-1] in ("stop", "length")
    assert set(reasons[:-1]) == {None}
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    body = {"model": "starter", "messages": QUESTION, "max_tokens": 3, "stream": True}
    raw = api.http.post("/v1/chat/completions", json=body)
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.text.endswith("data: [DONE]\n\n")
    assert "usage" not in raw.text


@pytest.mark.usefixtures("chat_worker")
def test_the_command_line_prints_the_text_of_the_answer(api: Api) -> None:
    def rlsd(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["chat", *arguments], env={"RLSD_API_URL": api.url, "RLSD_API_KEY": api.key})

    [question] = QUESTION
    result = rlsd("starter", str(question["content"]), "temperature:=0", "max_completion_tokens:=60")
    assert result.exit_code == 0, result.exception
    assert result.stdout.strip()
    assert greedy(api)[:30] == result.stdout[:30]
    assert "ft:none" in str(rlsd("ft:none", "x").exception)


@pytest.mark.usefixtures("chat_worker")
def test_several_choices_stop_sequences_seeds_and_log_probabilities(api: Api) -> None:
    ask = api.openai.chat.completions.create
    several = ask(model="starter", messages=QUESTION, n=3, seed=5, max_tokens=30, temperature=1.5)
    again = ask(model="starter", messages=QUESTION, n=3, seed=5, max_tokens=30, temperature=1.5)
    texts = [choice.message.content for choice in several.choices]
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert texts == [choice.message.content for choice in again.choices]
    assert len(set(texts)) > 1
    whole = greedy(api)
    stop = whole[5:8]
    cut = ask(model="starter", messages=QUESTION, temperature=0, max_tokens=40, stop=[stop, "never said"])
    assert cut.choices[0].message.content == whole[: whole.index(stop)]
    assert cut.choices[0].finish_reason == "stop"
    completion = ask(model="starter", messages=QUESTION, temperature=0, max_tokens=5, logprobs=True, top_logprobs=2)
    assert completion.choices[0].logprobs is not None
    tokens = completion.choices[0].logprobs.content
    assert tokens
    assert "".join(token.token for token in tokens) == completion.choices[0].message.content
    for token in tokens:
        assert token.top_logprobs[0].token == token.token
        assert token.logprob == pytest.approx(token.top_logprobs[0].logprob)
        assert bytes(token.bytes or b"").decode() == token.token


@pytest.mark.usefixtures("chat_worker")
def test_adapters_answer_under_their_names_until_deleted(api: Api) -> None:
    job, other = trained_job(seed=1, checkpoint=7), trained_job(seed=2)
    names = ["starter", str(job.fine_tuned_model), f"{job.adapter_name}:ckpt-step-7", str(other.fine_tuned_model)]
    alone = [greedy(api, name) for name in names]
    assert len(set(alone)) == 4
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda name: greedy(api, name), [*names, *names]))
    assert together == [*alone, *alone]
    assert [model.id for model in api.openai.models.list()][:1] == ["starter"]
    deleted = api.openai.models.delete(names[1])
    assert (deleted.id, deleted.deleted) == (names[1], True)
    with pytest.raises(openai.NotFoundError) as gone:
        greedy(api, names[1])
    assert (gone.value.code, gone.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        api.openai.models.delete(names[1])
    with pytest.raises(openai.BadRequestError, match="base model"):
        api.openai.models.delete("starter")
    assert greedy(api, names[2]) == alone[2]
    with transaction() as session:
        kept = session.get_one(Job, job.id)
        assert (kept.state, kept.fine_tuned_model) == (JobState.SUCCEEDED, None)
        assert session.get(Blob, job.adapter_sha256) is None
    refused(api.http.get(f"/v1/fine_tuning/jobs/{job.id}/adapter"), status=404, code="deleted")


@pytest.mark.usefixtures("chat_worker")
def test_use_is_counted_by_day_and_model(api: Api) -> None:
    spent = [
        api.openai.chat.completions.create(model="starter", messages=QUESTION, n=n, max_tokens=5).usage for n in (1, 2)
    ]
    wait_for(lambda: (usage_of(api, "starter") or {}).get("requests") == 2, timeout_s=10, what="the count")
    row = usage_of(api, "starter")
    assert row is not None
    assert row["day"] == utc_now().date().isoformat()
    assert row["prompt_tokens"] == sum(each.prompt_tokens for each in spent if each)
    assert row["completion_tokens"] == sum(each.completion_tokens for each in spent if each)


def test_a_caller_that_hangs_up_is_not_answered_any_more(api: Api, chat_worker: subprocess.Popen[bytes]) -> None:
    long: Any = {"model": "starter", "messages": QUESTION, "temperature": 1.9, "max_tokens": 900, "n": 32}

    def tokens_counted() -> int:
        return int((usage_of(api, "starter") or {}).get("completion_tokens", 0))

    with api.openai.chat.completions.create(**long, stream=True) as stream:
        next(iter(stream))
    wait_for(tokens_counted, timeout_s=20, what="the end of a stream that was left")
    left = tokens_counted()
    with pytest.raises(openai.APITimeoutError):
        api.openai.with_options(timeout=1.5).chat.completions.create(**long)
    wait_for(lambda: tokens_counted() > left, timeout_s=20, what="the end of an answer that nobody waits for")

    def pieces() -> int:
        """Return how often a server has appended to an answer."""
        with broker() as redis:
            return int(redis.info("commandstats").get("cmdstat_rpush", {}).get("calls", 0))

    async def cancelled() -> None:
        async with openai.AsyncOpenAI(base_url=f"{api.url}/v1", api_key=api.key, max_retries=0) as client:
            before = pieces()
            task = asyncio.create_task(client.chat.completions.create(**long))
            await asyncio.to_thread(wait_for, lambda: pieces() > before, timeout_s=20, what="some tokens")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    left = tokens_counted()
    asyncio.run(cancelled())
    wait_for(lambda: tokens_counted() > left, timeout_s=20, what="the end of an answer that was cancelled")
    assert chat_worker.poll() is None
    with broker() as redis:
        assert redis.zcard(QUEUED) == 0
        wait_for(lambda: not redis.keys("rlsd:chat:request:*"), timeout_s=20, what="the last request")


UNSUPPORTED: dict[str, Any] = {
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "functions": [{"name": "f"}],
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "audio": {"voice": "alloy", "format": "wav"},
    "modalities": ["text", "audio"],
    "frequency_penalty": 0.5,
    "presence_penalty": -1,
    "logit_bias": {"5": 3},
    "store": True,
    "service_tier": "flex",
    "reasoning_effort": "low",
    "parallel_tool_calls": True,
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {},
}


@pytest.mark.parametrize("message", [{"role": "tool"}, {"role": "assistant", "tool_calls": [{"id": "c"}]}])
def test_calls_of_tools_are_refused_in_a_sentence(api: Api, message: dict[str, Any]) -> None:
    body = {"model": "starter", "messages": [*QUESTION, {"content": "x", **message}]}
    error = refused(api.http.post("/v1/chat/completions", json=body), status=400)
    assert "takes neither tools nor calls of them" in error["message"]


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_cannot_be_honoured_is_refused_by_its_name(api: Api, name: str) -> None:
    body = {"model": "starter", "messages": QUESTION, name: UNSUPPORTED[name]}
    error = refused(api.http.post("/v1/chat/completions", json=body), status=400, code="unsupported_parameter")
    assert error["param"] == name


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content.0.type"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b.png"}}]}
                ]
            },
            "messages.0.content.0.image_url.url",
        ),
        ({"messages": [{"role": "user", "content": "x", "name": "me"}]}, "messages.0.name"),
        ({"messages": [{"role": "assistant", "content": "x", "tool_calls": [{}]}]}, "messages.0.tool_calls"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": [""]}, "stop.0"),
        ({"seed": "x"}, "seed"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"model": ""}, "model"),
        ({"tempreture": 1}, "tempreture"),
    ],
)
def test_bad_input_names_what_is_bad(api: Api, change: dict[str, Any], param: str) -> None:
    body = {"model": "starter", "messages": QUESTION, **change}
    assert refused(api.http.post("/v1/chat/completions", json=body), status=400)["param"] == param


@pytest.mark.parametrize(
    "name",
    ["none", "Starter", "../starter", "/etc", "ft:", "ft:starter:rlsd::x", "ft:starter:rlsd::x:ckpt-step-1", "a/b/c"]
    + ["organisation/name"],
)
def test_an_unknown_model_is_rejected_immediately(api: Api, name: str) -> None:
    error = refused(
        api.http.post("/v1/chat/completions", json={"model": name, "messages": QUESTION}),
        status=404,
        code="model_not_found",
    )
    assert error["param"] == "model"


def test_what_chat_answers_can_be_retrieved_and_nothing_else(api: Api) -> None:
    job = trained_job(seed=3, checkpoint=7)
    names = [*settings().models, str(job.fine_tuned_model), f"{job.adapter_name}:ckpt-step-7"]
    assert [api.openai.models.retrieve(name).id for name in names] == names
    checkpoint = answered(api.http.get(f"/v1/models/{names[-1]}"))
    assert (checkpoint["x_job"], checkpoint["x_base"], checkpoint["owned_by"]) == (job.id, "starter", "trained")
    assert checkpoint["created"] > 0
    with broker() as redis:
        redis.delete(SERVERS)
    for name in [*names, f"{job.adapter_name}:ckpt-step-8", "organisation/name", "ft:none", "none"]:
        status = api.http.post("/v1/chat/completions", json={"model": name, "messages": QUESTION}).status_code
        retrieved = api.http.get(f"/v1/models/{name}").status_code
        want_of_a_server = 503
        assert (retrieved, status) == ((200, want_of_a_server) if name in names else (404, 404)), name


def test_an_administrator_may_open_the_hub_to_chat(api: Api, open_hub: None) -> None:
    assert answered(api.http.get("/v1/models/organisation/name"))["owned_by"] == "base"
    with broker() as redis:
        redis.delete(SERVERS)
    body = {"model": "organisation/name", "messages": QUESTION}
    refused(api.http.post("/v1/chat/completions", json=body), status=503, code="no_worker")


@pytest.mark.usefixtures("chat_worker", "open_hub")
def test_errors_found_by_the_model_are_responses_also_for_streams(api: Api) -> None:
    long: Any = [{"role": "user", "content": "why " * 2000}]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    for stream in (False, True):
        with pytest.raises(
            openai.BadRequestError, match="have 6009 tokens, but the model's context is 1024 tokens"
        ) as too_long:
            api.openai.chat.completions.create(model="starter", messages=long, stream=stream)
        assert (too_long.value.code, too_long.value.param) == ("context_length_exceeded", "messages")
        with pytest.raises(openai.BadRequestError, match="for the completion"):
            api.openai.chat.completions.create(model="starter", messages=QUESTION, max_tokens=5000, stream=stream)
        with pytest.raises(openai.BadRequestError, match="reads only text") as seeing:
            api.openai.chat.completions.create(
                model="starter",
                messages=[{"role": "user", "content": [image]}],
                stream=stream,  # type: ignore[list-item,misc]
            )
        assert (seeing.value.code, seeing.value.param) == ("invalid_messages", "messages")
        with pytest.raises(openai.BadRequestError) as many:
            api.openai.chat.completions.create(model="starter", messages=QUESTION, n=33, max_tokens=3, stream=stream)
        assert many.value.param == "n"
    with pytest.raises(openai.APIStatusError) as unreachable:
        api.openai.chat.completions.create(model="nobody/nothing-here", messages=QUESTION)
    assert unreachable.value.param == "model"
    assert unreachable.value.status_code in (400, 404)
    assert greedy(api)


def test_a_missing_server_is_reported_quickly(api: Api) -> None:
    with broker() as redis:
        redis.delete(SERVERS)
    started = time.monotonic()
    body = {"model": "starter", "messages": QUESTION}
    error = refused(api.http.post("/v1/chat/completions", json=body), status=503, code="no_worker")
    assert "rlsd worker --queue chat" in error["message"]
    assert time.monotonic() - started < 3
    with broker() as redis:
        assert redis.zcard(QUEUED) == 0


@pytest.mark.slow
@schema.parametrize()
@examples(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
@pytest.mark.usefixtures("chat_worker")
def test_whatever_is_sent_the_answer_is_as_described(case: schemathesis.Case, api: Api) -> None:
    if isinstance(case.body, dict):  # valid requests are answered, and quickly
        case.body.update(model="starter", max_tokens=3, max_completion_tokens=3)
        for name in NEUTRAL:
            if name in case.body and len(str(case.body[name])) % 2:
                del case.body[name]
    response = case.call(base_url=api.url, headers={"authorization": f"Bearer {api.key}"}, timeout=30)
    case.validate_response(response, checks=CHECKS)
