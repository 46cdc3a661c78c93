"""Chat servers, models with random adapters, and a question for them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from backend import blobs
from backend.chat.redis_keys import SERVERS, redis_url
from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.training import Checkpoint
from backend.ids import new_id
from backend.jobs.lifecycle import JobState
from tests.processes import running_worker, wait_for
from tests.service.adapters import random_adapter
from tests.service.conftest import Api
from tests.service.records import stored_job

QUESTION: Any = [{"role": "user", "content": "What is 17 + 25?"}]


@contextmanager
def chat_server(log: Path, *, may_exit: bool = False, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a chat server as `rlsd worker` does, and wait until it is ready; unless `may_exit`, it must exit cleanly."""
    with running_worker("chat", log=log, may_exit=True, HF_HUB_OFFLINE="1", **environment) as process:
        wait_for(
            lambda: any(name.endswith(f":{process.pid}") for name in servers()), timeout_s=30, what="the chat server"
        )
        yield process
    assert process.returncode == 0 or may_exit, log.read_text()


def broker() -> Redis:
    return Redis.from_url(redis_url(os.environ["BROKER_URL"]), decode_responses=True)


def servers() -> list[str]:
    with broker() as redis:
        return redis.zrange(SERVERS, 0, -1)  # type: ignore[return-value]


def trained_job(*, seed: int, checkpoint: int | None = None) -> Job:
    """Store a finished job of the starter with a random adapter, and optionally a checkpoint with another one."""
    archive, state = random_adapter(seed)
    with transaction() as session:
        job = stored_job(session, state=JobState.SUCCEEDED, spec={"lora": {"r": 4, "alpha": 8}})
        job.adapter_sha256 = blobs.put(session, [archive]).sha256
        job.fine_tuned_model, job.finished_at = job.adapter_name, utc_now()
        if checkpoint is not None:
            session.add(
                Checkpoint(
                    id=new_id("ftckpt"),
                    job_id=job.id,
                    step=checkpoint,
                    created_at=utc_now(),
                    sha256=blobs.put(session, [state]).sha256,
                    score=None,
                )
            )
        return job


def greedy(api: Api, model: str = "starter", **more: Any) -> str:
    answer = api.openai.chat.completions.create(model=model, messages=QUESTION, temperature=0, max_tokens=40, **more)
    return str(answer.choices[0].message.content)
