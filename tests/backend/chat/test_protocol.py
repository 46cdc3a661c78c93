"""What API and server say to each other survives the way, and OpenAI's objects are made of it."""

from hypothesis import given
from hypothesis import strategies as st

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
from backend.chat.redis_keys import place_in_line, redis_url
from backend.chat.request import NEUTRAL, ChatBody, Message
from backend.chat.response_objects import ResponseHead, StreamedResponse, WholeResponse

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
def test_pieces_survive_the_way(piece: Piece) -> None:
    assert piece_from_json(piece_to_json(piece)) == piece


@given(st.none() | st.builds(AdapterRef, TEXT, st.just("checkpoint"), st.integers(1, 8), st.floats(1, 9)))
def test_a_request_survives_the_way(adapter: AdapterRef | None) -> None:
    asked = ChatRequest(
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
        seed=-5,
        top_logprobs=0,
    )
    assert ChatRequest.from_json(asked.to_json()) == asked


def test_an_answer_whole_and_in_chunks_says_the_same() -> None:
    heading = ResponseHead("chatcmpl-1", 5, "starter", 2)
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
    gathered, streamed = WholeResponse(heading), StreamedResponse(heading, with_usage=True)
    answers = [answer for piece in pieces if (answer := gathered.add(piece)) is not None]
    chunks = [chunk for piece in pieces for chunk in streamed.chunks(piece)]
    assert len(answers) == 1
    for choice in answers[0].choices:
        mine = [each for chunk in chunks for each in chunk.choices if each.index == choice.index]
        assert "".join(each.delta.content or "" for each in mine) == choice.message.content
        assert [each.finish_reason for each in mine if each.finish_reason] == [choice.finish_reason]
        assert mine[0].delta.role == "assistant"
    assert answers[0].usage == chunks[-1].usage
    assert answers[0].usage.total_tokens == 11
    told = answers[0].choices[1].logprobs
    assert told is not None
    assert told.content is not None
    assert (told.content[0].bytes, told.content[0].top_logprobs[1].bytes) == ([195, 169], None)
    silent = StreamedResponse(heading, with_usage=False)
    assert all("usage" not in chunk.as_data(with_usage=False) for piece in pieces for chunk in silent.chunks(piece))


def test_the_brokers_url_is_known_in_celerys_spelling_too() -> None:
    assert redis_url("redis+socket:///a/b.sock") == "unix:///a/b.sock?db=0"
    assert redis_url("redis+socket:///a/b.sock?virtual_host=3") == "unix:///a/b.sock?db=3"
    assert redis_url("rediss://user:x@host:1/2") == "rediss://user:x@host:1/2"
    assert place_in_line("id", "a b").partition(" ") == ("id", " ", "a b")


def test_everything_that_can_be_refused_is_a_parameter() -> None:
    assert set(NEUTRAL) <= set(ChatBody.model_fields)


def test_a_developers_words_are_the_systems_and_what_clients_send_back_is_taken() -> None:
    back = {"role": "assistant", "content": "x", "refusal": None, "annotations": [], "audio": None, "tool_calls": None}
    assert Message.model_validate(back).plain() == {"role": "assistant", "content": [{"type": "text", "text": "x"}]}
    assert Message.model_validate({"role": "developer", "content": "x"}).plain()["role"] == "system"
