import math

import pytest

from backend.verifiers.record import ScoreRecord, ScoreStatus, error_record


def test_a_record_survives_json():
    record = ScoreRecord(
        score=0.5, status=ScoreStatus.OK, reason="half", components={"form": 1.0}, ms=1.25, stdout="printed"
    )
    assert ScoreRecord.from_json(record.to_json()) == record


def test_json_has_the_agreed_fields_and_stdout_only_when_printed():
    assert set(error_record("why").to_json()) == {"score", "status", "reason", "components", "ms"}


@pytest.mark.parametrize("score", [None, math.nan, math.inf])
def test_ok_needs_a_finite_score(score):
    with pytest.raises(ValueError, match="cannot have the score"):
        ScoreRecord(score=score, status=ScoreStatus.OK)


@pytest.mark.parametrize("status", [ScoreStatus.ABSTAIN, ScoreStatus.ERROR, ScoreStatus.TIMEOUT])
def test_only_ok_carries_a_score(status):
    with pytest.raises(ValueError, match="cannot have the score"):
        ScoreRecord(score=0.0, status=status)


def test_counting_errors_as_zero_keeps_the_reason_and_leaves_abstain_alone():
    zero = error_record("division by zero").counted_as_zero()
    assert (zero.score, zero.status) == (0.0, ScoreStatus.OK)
    assert zero.reason == "error counted as 0: division by zero"
    abstain = ScoreRecord(score=None, status=ScoreStatus.ABSTAIN)
    assert abstain.counted_as_zero() is abstain
