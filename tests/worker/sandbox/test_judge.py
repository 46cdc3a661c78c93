"""`score_model` and `label_model` query a judge over HTTP: its answer is a score, or a reason why there is none."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.settings import settings
from backend.verifiers.specs import parse_spec
from tests.worker.sandbox.verifiers import sample

SCORE = {
    "type": "score_model",
    "model": "judge-1",
    "input": [{"role": "user", "content": "Rate {{sample.output_text}} against {{item.answer}}."}],
    "range": [0, 10],
}
LABEL = {**SCORE, "type": "label_model", "labels": ["good", "bad"], "passing_labels": ["good"]}
LABEL.pop("range")


class Judge(BaseHTTPRequestHandler):
    """Answers according to the text to be judged."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append((self.path, self.headers["authorization"], body))
        graded = body["messages"][0]["content"].split()[1]
        status = 500 if graded == "fail" else 200
        content = (
            b"x" * 400_000 if graded == "long" else json.dumps({"choices": [{"message": {"content": graded}}]}).encode()
        )
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def judge(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Judge) as server:
        server.requests = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("RLSD_JUDGE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        monkeypatch.setenv("RLSD_JUDGE_KEY", "secret")
        settings.cache_clear()
        yield server
        server.shutdown()
        monkeypatch.undo()
        settings.cache_clear()


def graded(sandbox, spec, *texts):
    return sandbox.grade(parse_spec(spec), [sample(text, answer="x") for text in texts])


def test_a_number_within_the_range_is_the_score(sandbox, judge):
    texts = ("7", "2.5", "11", "seven", "fail", "long")
    rows = [sample(text) for text in texts]
    records = sandbox.grade(
        parse_spec(SCORE | {"input": [{"role": "user", "content": "Rate {{sample.output_text}} ."}]}), rows
    )
    assert [record.score for record in records] == [7.0, 2.5, None, None, None, None]
    assert [record.status.value for record in records] == ["ok"] * 2 + ["error"] * 4
    for record, part in zip(
        records[2:], ("the score 11 is not within 0 to 10", "not a number", "status 500", "longer than"), strict=True
    ):
        assert part in record.reason
    path, key, body = judge.requests[0]
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer secret", "judge-1")
    assert "from 0 to 10" in body["messages"][-1]["content"]


def test_the_judge_gets_the_graders_sampling_parameters_and_no_others(sandbox, judge):
    sampling_params = {
        "max_completions_tokens": 20,
        "reasoning_effort": "low",
        "seed": 3,
        "temperature": 0.5,
        "top_p": None,
    }
    bare = SCORE | {"input": [{"role": "user", "content": "Rate {{sample.output_text}} ."}]}
    for spec in (bare, bare | {"sampling_params": sampling_params}):
        graded(sandbox, spec, "7")
    plain, sampled = (body for _, _, body in judge.requests)
    assert set(plain) == {"model", "messages"}
    assert {name: value for name, value in sampled.items() if name not in plain} == {
        "max_completion_tokens": 20,
        "reasoning_effort": "low",
        "seed": 3,
        "temperature": 0.5,
    }


def test_a_passing_label_scores_one(sandbox, judge):
    spec = LABEL | {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Rate {{sample.output_text}}"}]}]
    }
    records = graded(sandbox, spec, "good", "Bad.", "fine")
    assert [record.score for record in records] == [1.0, 0.0, None]
    assert "none of the labels" in records[2].reason


def test_a_row_without_what_the_template_names_is_not_sent(sandbox, judge):
    (record,) = sandbox.grade(parse_spec(SCORE), [sample("7")])
    assert record.status == "error"
    assert "item.answer" in record.reason
    assert judge.requests == []


def test_a_judge_is_one_part_of_several(sandbox, judge):
    graders = {
        "judged": SCORE | {"input": [{"role": "user", "content": "Rate {{sample.output_text}} ."}]},
        "form": {"type": "regex", "pattern": r"^\d+$"},
    }
    spec = {"type": "multi", "graders": graders, "calculate_output": "0.05 * judged + 0.5 * form"}
    (record,) = sandbox.grade(parse_spec(spec), [sample("8")])
    assert record.score == pytest.approx(0.9)
