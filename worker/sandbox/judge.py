"""Outside: `score_model` and `label_model`, answered by the judge that an administrator has set (backend/settings.py).

One request a row to its `/chat/completions`, a few at a time. Only the texts of the rendered templates leave this
machine. What the judge writes is read as data: a number, or one of the labels.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from backend.errors import AppError
from backend.settings import settings
from backend.verifiers.record import ScoreRecord, ScoreStatus, error_record
from backend.verifiers.specs import LabelModel, ScoreModel
from backend.verifiers.templates import OutputPathError, Sample
from worker.sandbox.programs import rendered

TIMEOUT_S = 60.0
AT_A_TIME = 8
MAX_ANSWER_BYTES = 262_144
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3})?")
Judged = ScoreModel | LabelModel


class _JudgeError(Exception):
    """Why the judge gave no score."""


def ask(spec: Judged, samples: Sequence[Sample]) -> list[ScoreRecord]:
    """One record a sample, in order. Raises AppError(503) where no judge is set on this machine."""
    url, key = settings().judge_url, settings().judge_key
    if url is None:
        raise AppError("No judge is set on this worker: RLSD_JUDGE_URL.", status=503, code="no_judge")
    headers = {} if key is None else {"authorization": f"Bearer {key.get_secret_value()}"}
    with (
        httpx.Client(base_url=url.rstrip("/") + "/", headers=headers, timeout=TIMEOUT_S) as client,
        ThreadPoolExecutor(AT_A_TIME) as workers,
    ):
        return list(workers.map(lambda sample: _judge(client, spec, sample), samples))


def _judge(client: httpx.Client, spec: Judged, sample: Sample) -> ScoreRecord:
    start = time.perf_counter()
    try:
        messages = [
            {"role": message.role, "content": "\n".join(rendered(text, sample) for text in message.texts)}
            for message in spec.input
        ]
        said = _answer(client, spec, messages)
        score = _score(spec, said)
    except OutputPathError as error:
        return ScoreRecord(score=0.0, status=ScoreStatus.OK, reason=error.message)
    except AppError as error:
        return error_record(error.message)
    except _JudgeError as error:
        return error_record(f"the judge gave no score: {error}", ms=(time.perf_counter() - start) * 1000)
    ms = (time.perf_counter() - start) * 1000
    return ScoreRecord(score=score, status=ScoreStatus.OK, reason=said[:1000], ms=ms)


def _answer(client: httpx.Client, spec: Judged, messages: list[dict[str, str]]) -> str:
    if isinstance(spec, ScoreModel):
        low, high = spec.range
        order = f"Answer with one number from {low:g} to {high:g} and nothing else."
    else:
        order = f"Answer with one of these labels and nothing else: {json.dumps(spec.labels, ensure_ascii=False)}"
    body: Mapping[str, Any] = {
        **({} if spec.sampling_params is None else spec.sampling_params.of_chat()),
        "model": spec.model,
        "messages": [*messages, {"role": "user", "content": order}],
    }
    try:
        with client.stream("POST", "chat/completions", json=body) as response:
            content = b""
            for part in response.iter_bytes():
                content += part
                if len(content) > MAX_ANSWER_BYTES:
                    raise _JudgeError(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
            if response.status_code != 200:
                raise _JudgeError(f"status {response.status_code}: {content[:200].decode(errors='replace')}")
        text = json.loads(content)["choices"][0]["message"]["content"]
    except httpx.HTTPError as error:
        raise _JudgeError(f"{type(error).__name__}: {error}") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise _JudgeError("its answer is no chat completion") from error
    if not isinstance(text, str):
        raise _JudgeError("its answer has no text")
    return text.strip()


def _score(spec: Judged, said: str) -> float:
    if isinstance(spec, LabelModel):
        bare = said.strip(" .`\"'*").casefold()
        label = next((label for label in spec.labels if label.casefold() == bare), None)
        if label is None:
            raise _JudgeError(f"'{said:.100}' is none of the labels")
        return float(label in spec.passing_labels)
    found = _NUMBER.fullmatch(said.strip(" .`\"'*"))
    if found is None:
        raise _JudgeError(f"'{said:.100}' is no number")
    low, high = spec.range
    if not low <= float(found[0]) <= high:
        raise _JudgeError(f"{found[0]} is outside {low:g} to {high:g}")
    return float(found[0])
