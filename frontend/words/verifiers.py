"""What a verifier is called where only a job tells of it. Pure."""

import hashlib
import json

from frontend.api.types import Job
from frontend.words.verifier_kinds import KINDS


def of_job(job: Job) -> str:
    """As it was saved, with its version; else its own name or kind, and what tells two of that kind apart."""
    said = job["method"]["reinforcement"]
    saved, grader = said.get("x_verifier") or {}, said["grader"]
    if saved.get("name"):
        return f"{saved['name']} (version {saved['version']})"
    name = grader.get("name") or KINDS.get(grader["type"], grader["type"])
    return f"{name} · {hashlib.sha256(json.dumps(grader, sort_keys=True).encode()).hexdigest()[:6]}"
