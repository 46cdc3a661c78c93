"""Outside: `score_model` and `label_model`, graded by the judge model that an administrator configured.

One request per row to its `/chat/completions` (`judge_url` in backend/settings.py), a few at a time. Only the texts of
the rendered templates leave this machine. The judge's answer is read as data: a number, or one of the labels.
"""

import json
import math
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
MAX_CONCURRENT = 8
MAX_ANSWER_BYTES = 262_144
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3})?")
JudgeSpec = ScoreModel | LabelModel


class _JudgeError(Exception):
    """The reason why the judge gave no score."""


def grade(spec: JudgeSpec, samples: Sequence[Sample]) -> list[ScoreRecord]:
    """Grade samples: one record per sample, in order. Raises AppError(503) if no judge is configured."""
    url, key = settings().judge_url, settings().judge_key
    if url is None:
        raise AppError("No judge model is configured on this worker: set RLSD_JUDGE_URL.", status=503, code="no_judge")
    headers = {} if key is None else {"authorization": f"Bearer {key.get_secret_value()}"}
    with (
        httpx.Client(base_url=url.rstrip("/") + "/", headers=headers, timeout=TIMEOUT_S) as client,
        ThreadPoolExecutor(MAX_CONCURRENT) as workers,
    ):
        return list(workers.map(lambda sample: _grade_sample(client, spec, sample), samples))


def _grade_sample(client: httpx.Client, spec: JudgeSpec, sample: Sample) -> ScoreRecord:
    start = time.perf_counter()
    try:
        messages = [
            {"role": message.role, "content": "\n".join(rendered(text, sample) for text in message.texts)}
            for message in spec.input
        ]
        text = _completion(client, spec, messages)
        score = _parse_score(spec, text)
    except OutputPathError as error:
        return ScoreRecord(
            score=min(max(0.0, spec.bounds[0]), spec.bounds[1]), status=ScoreStatus.OK, reason=error.message
        )
    except AppError as error:
        return error_record(error.message)
    except _JudgeError as error:
        return error_record(f"the judge gave no score: {error}", ms=(time.perf_counter() - start) * 1000)
    ms = (time.perf_counter() - start) * 1000
    return ScoreRecord(score=score, status=ScoreStatus.OK, reason=text[:1000], ms=ms)


def _completion(client: httpx.Client, spec: JudgeSpec, messages: list[dict[str, str]]) -> str:
    if isinstance(spec, ScoreModel):
        low, high = spec.range
        instruction = f"Answer with one number from {low:g} to {high:g} and nothing else."
    else:
        instruction = f"Answer with one of these labels and nothing else: {json.dumps(spec.labels, ensure_ascii=False)}"
    body: Mapping[str, Any] = {
        **({} if spec.sampling_params is None else spec.sampling_params.chat_params()),
        "model": spec.model,
        "messages": [*messages, {"role": "user", "content": instruction}],
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
        raise _JudgeError("its answer is not a chat completion") from error
    if not isinstance(text, str):
        raise _JudgeError("its answer has no text")
    return text.strip()


def _parse_score(spec: JudgeSpec, text: str) -> float:
    if isinstance(spec, LabelModel):
        bare = text.strip(" .`\"'*").casefold()
        label = next((label for label in spec.labels if label.casefold() == bare), None)
        if label is None:
            raise _JudgeError(f"'{text:.100}' is none of the labels")
        return float(label in spec.passing_labels)
    found = _NUMBER.fullmatch(text.strip(" .`\"'*"))
    if found is None or not math.isfinite(float(found[0])):
        raise _JudgeError(f"'{text:.100}' is not a number")
    return float(found[0])
