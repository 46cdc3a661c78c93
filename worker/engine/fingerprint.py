"""Owns what makes a run the run it is: settings and rows, as a checkpoint keeps them and a resumed run must match them.

Not in it is what may change on the way: how long the run is and how often it looks at itself, where and in how large
pieces it computes, and when it gives up. Nor are the models: a checkpoint's adapter fits a model or it does not, and a
folder's name is another on another machine.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from worker.engine.settings import Settings
from worker.engine.types import Task

SETTINGS = "settings"
Fingerprint = dict[str, dict[str, Any]]
"""By part of the run, what is known of it, as plain JSON."""

MAY_CHANGE = frozenset(
    {
        *("max_steps", "budget", "budget_unit"),
        *("eval_interval", "checkpoint_interval", "diagnostic_interval", "token_share"),
        *("device", "teacher_device", "teacher_model", "generator", "sharding"),
        *("micro_batch_tokens", "rollout_sequences", "gradient_checkpointing"),
        *("max_error_share", "max_dead_steps"),
    }
)
"""Settings with which a run goes on as the same run, whatever they are."""


def fingerprint(settings: Settings, *, tasks: Sequence[Task], held_out: Sequence[Task]) -> Fingerprint:
    """The run's settings by name, and a hash for each field of its rows."""
    named = {name: value for name, value in asdict(settings).items() if name not in MAY_CHANGE}
    plain: dict[str, Any] = json.loads(json.dumps(named))
    return {SETTINGS: plain, "training rows": _hashes(tasks), "held-out rows": _hashes(held_out)}


def require_same_run(known: Fingerprint | None, present: Fingerprint) -> None:
    """ValueError naming what differs between a checkpoint's fingerprint and that of the run that is to go on from it.

    What only one of the two knows is not compared, so a checkpoint of an earlier version, which has no fingerprint at
    all or knows fewer settings, is accepted.
    """
    for part, facts in present.items():
        before = (known or {}).get(part, {})
        for name in facts:
            if name in before and before[name] != facts[name]:
                said = _difference(part, name, before=before[name], now=facts[name])
                raise ValueError(f"the checkpoint belongs to another run: {said}")


def _difference(part: str, name: str, *, before: object, now: object) -> str:
    if part == SETTINGS:
        return f"{name} was {before!r} and is {now!r} now; set it as it was, or start anew"
    return f"the {part} are others now (they differ in {name}); give the same ones, or start anew"


def _hashes(tasks: Sequence[Task]) -> dict[str, str]:
    """For each field of the rows one hash over all of them, in order."""
    return {field.name: _hash([getattr(task, field.name) for task in tasks]) for field in fields(Task)}


def _hash(values: Sequence[object]) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(json.dumps(value, sort_keys=True, default=_plain).encode() + b"\n")
    return digest.hexdigest()


def _plain(value: object) -> object:
    """JSON for what a row may hold beside it: pictures, and what a table knows as dates or decimals."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return dict(value) if isinstance(value, Mapping) else str(value)
