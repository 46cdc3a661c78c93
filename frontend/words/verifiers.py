"""The name of a job's verifier. Pure."""

import hashlib
import json

from frontend.api.types import JobObject
from frontend.words.verifier_kinds import KINDS


def of_job(job: JobObject) -> str:
    """Return the saved name and version; otherwise its own name or kind, and a short hash to distinguish it."""
    reinforcement = job["method"]["reinforcement"]
    saved, grader = reinforcement.get("x_verifier") or {}, reinforcement["grader"]
    if saved.get("name"):
        return f"{saved['name']} (version {saved['version']})"
    name = grader.get("name") or KINDS.get(grader["type"], grader["type"])
    return f"{name} · {hashlib.sha256(json.dumps(grader, sort_keys=True).encode()).hexdigest()[:6]}"
