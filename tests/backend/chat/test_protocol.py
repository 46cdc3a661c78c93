"""Messages between API and chat servers survive serialisation and become OpenAI's response objects."""

from hypothesis import given
from hypothesis import strategies as st

from backend.chat.model_names import ServedModel
from backend.chat.protocol import (
    AdapterRef,
    ChatRequest,
    Piece,
    PromptRead,
    RequestDone,
    RequestRefused,
    RequestTaken,
    TextDelta,
    TokenLogprob,
    piece_from_json,
    piece_to_json,
)
from backend.chat.redis_keys import queue_member, redis_url
from backend.chat.request import NEUTRAL, ChatBody, Message
from backend.chat.response_objects import ResponseHead, StreamedResponse, WholeResponse
from backend.db.jobs import Job

TEXT = st.text(max_size=10)
LOGPROBS = st.builds(TokenLogprob, TEXT, st.floats(-9, 0), st.lists(st.tuples(TEXT, st.floats(-9, 0)), max_size=2))
PIECES = st.one_of(
    st.builds(RequestTaken, TEXT),
    st.builds(PromptRead, st.integers(0)),
    st.builds(
        TextDelta, st.integers(0, 5), TEXT, st.none() | st.lists(LOGPROBS, max_size=3), st.none() | st.just("stop")
    ),
    st.builds(RequestDone, st.integers(0)),
    st.builds(RequestRefused, TEXT, st.sampled_from([400, 503]), st.none() | TEXT, st.none() | TEXT),
)


@given(PIECES)
def test_pieces_survive_serialisation(piece: Piece) -> None:
    assert piece_from_json(piece_to_json(piece)) == piece


@given(st.none() | st.builds(AdapterRef, TEXT, st.just("checkpoint"), st.integers(1, 8), st.floats(1, 9)))
def test_request_survives_serialisation(adapter: AdapterRef | None) -> None:
    request = ChatRequest(
        id="chatcmpl-1",
        project="proj-default",
        model="ft:x",
        base="starter",
        adapter=adapter,
        messages=[{"role": "user", "content": [{"type": "text", "text": "é"}]}],
        max_tokens=None,
        temperature=0.5,
        top_p=1.0,
        n=2,
        stop=["\n"],
        skip_special_tokens=True,
        seed=-5,
        top_logprobs=0,
        fold_system=True,
    )
    assert ChatRequest.from_json(request.to_json()) == request


def test_a_trained_model_is_asked_as_it_was_trained() -> None:
    assert ServedModel("starter", job=Job(spec={"fold_system": True})).folds_system
    assert not ServedModel("starter", job=Job(spec={})).folds_system
    assert not ServedModel("starter").folds_system


def test_whole_and_streamed_response_agree() -> None:
    head = ResponseHead("chatcmpl-1", 5, "starter", 2)
    logprob = TokenLogprob("é", -0.5, [("é", -0.5), ("\ufffd", -1.0)])
    pieces: list[Piece] = [
        RequestTaken("s"),
        PromptRead(7),
        TextDelta(1, "é", [logprob]),
        TextDelta(0, "a", []),
        TextDelta(1, "b", [], "length"),
        TextDelta(0, "", [], "stop"),
        RequestDone(4),
    ]
    whole, streamed = WholeResponse(head), StreamedResponse(head, with_usage=True)
    completions = [completion for piece in pieces if (completion := whole.add(piece)) is not None]
    chunks = [chunk for piece in pieces for chunk in streamed.chunks(piece)]
    assert len(completions) == 1
    for choice in completions[0].choices:
        streamed_choices = [each for chunk in chunks for each in chunk.choices if each.index == choice.index]
        assert "".join(each.delta.content or "" for each in streamed_choices) == choice.message.content
        assert [each.finish_reason for each in streamed_choices if each.finish_reason] == [choice.finish_reason]
        assert streamed_choices[0].delta.role == "assistant"
    assert completions[0].usage == chunks[-1].usage
    assert completions[0].usage.total_tokens == 11
    logprobs = completions[0].choices[1].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert (logprobs.content[0].bytes, logprobs.content[0].top_logprobs[1].bytes) == ([195, 169], None)
    no_usage = StreamedResponse(head, with_usage=False)
    assert all("usage" not in chunk.as_data(with_usage=False) for piece in pieces for chunk in no_usage.chunks(piece))


def test_redis_url_accepts_celerys_spelling() -> None:
    assert redis_url("redis+socket:///a/b.sock") == "unix:///a/b.sock?db=0"
    assert redis_url("redis+socket:///a/b.sock?virtual_host=3") == "unix:///a/b.sock?db=3"
    assert redis_url("rediss://user:x@host:1/2") == "rediss://user:x@host:1/2"
    assert queue_member("id", "a b").partition(" ") == ("id", " ", "a b")


def test_unsupported_parameters_are_fields_of_the_body() -> None:
    assert set(NEUTRAL) <= set(ChatBody.model_fields)


def test_message_maps_developer_to_system_and_accepts_returned_replies() -> None:
    reply = {"role": "assistant", "content": "x", "refusal": None, "annotations": [], "audio": None, "tool_calls": None}
    assert Message.model_validate(reply).plain() == {"role": "assistant", "content": [{"type": "text", "text": "x"}]}
    assert Message.model_validate({"role": "developer", "content": "x"}).plain()["role"] == "system"
