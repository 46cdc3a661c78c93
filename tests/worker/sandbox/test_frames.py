import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.verifiers.record import ScoreStatus
from worker.sandbox import frames
from worker.sandbox.frames import MAX_FRAME_BYTES, FrameError, FrameReader
from worker.sandbox.policy import COMPONENT_NAME_CHARS, COMPONENTS, REASON_CHARS, STDOUT_CHARS
from worker.sandbox.results import decode

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def fields(**changes):
    return {"score": 1.0, "status": "ok", "reason": None, "components": {}, "ms": 0.5, "stdout": ""} | changes


@given(st.lists(FINITE, max_size=20), st.integers(1, 40))
def test_a_stream_is_cut_into_the_same_frames_whatever_its_pieces(scores, size):
    stream = frames.ready() + b"".join(frames.number(score, ms=1.0) for score in scores)
    reader = FrameReader()
    found = [frame for i in range(0, len(stream), size) for frame in reader.feed(stream[i : i + size])]
    assert found[0] == (frames.READY, b"")
    assert [decode(*frame).score for frame in found[1:]] == scores
    assert reader.pending_bytes == 0


@pytest.mark.parametrize("length", [0, MAX_FRAME_BYTES + 1, 2**32 - 1])
def test_a_length_outside_the_limits_is_refused_before_its_bytes_arrive(length):
    with pytest.raises(FrameError):
        list(FrameReader().feed(struct.pack("!I", length)))


def test_frames_before_a_bad_length_are_still_read():
    reader = FrameReader()
    seen = []
    with pytest.raises(FrameError):
        seen.extend(iter(reader.feed(frames.number(1.0, ms=0.0) + b"\xff" * 8)))
    assert reader.pending_bytes == 8


@given(st.binary(max_size=300))
def test_any_bytes_end_in_frames_or_a_refusal(data):
    reader = FrameReader()
    try:
        for kind, body in reader.feed(data):
            decode(kind, body)
    except FrameError:
        pass


@given(st.binary(max_size=100), st.sampled_from([frames.NUMBER, frames.RECORD]))
def test_any_body_ends_in_a_record_or_a_refusal(body, kind):
    try:
        record = decode(kind, body)
    except FrameError:
        return
    assert record.score is None or math.isfinite(record.score)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "timeout", "score": None},
        {"status": "abstain"},
        {"score": math.nan},
        {"score": None},
        {"score": "1"},
        {"score": True},
        {"score": 10**400},
        {"reason": 7},
        {"components": {"a": "b"}},
        {"components": [1]},
        {"components": {str(i): 1 for i in range(COMPONENTS + 1)}},
        {"stdout": None},
        {"ms": math.inf},
    ],
)
def test_a_forged_record_is_refused(changes):
    ((kind, body),) = FrameReader().feed(frames.record(fields(**changes)))
    with pytest.raises(FrameError):
        decode(kind, body)


@given(st.text(max_size=50), st.text(max_size=50))
def test_texts_come_back_without_what_a_database_refuses(reason, stdout):
    ((kind, body),) = FrameReader().feed(frames.record(fields(reason=reason + "\0\ud800", stdout=stdout)))
    record = decode(kind, body)
    assert record.status is ScoreStatus.OK
    assert "\0" not in record.reason
    record.reason.encode()


@pytest.mark.parametrize("character", ["x", "\0", "\U0001f600", "\ud800", '"'])
def test_the_largest_record_fits_into_a_frame(character):
    components = {
        chr(0x1F600 + i) + character * (COMPONENT_NAME_CHARS - 1): 1.2345678901234567e-300 for i in range(COMPONENTS)
    }
    largest = frames.record(
        fields(reason=character * REASON_CHARS, stdout=character * STDOUT_CHARS, components=components)
    )
    ((kind, body),) = FrameReader().feed(largest)
    assert len(decode(kind, body).components) == COMPONENTS
