"""Short names of models, from the API's names (`ft:BASE:OWNER:SUFFIX:ID`), and how they are asked. Pure."""

from frontend.api.types import JobObject, Json, ModelObject

TRAINED = "trained"
SMALL_MODEL = "SmolLM2-135M-Instruct"
"""The base model that a server can fetch."""
SMALL_MODEL_SIZE_MB = 93
PARTS = 5
"""Parts of a trained model's name; its base may contain further colons."""


def is_trained(model: ModelObject) -> bool:
    return bool(model["owned_by"] == TRAINED)


def title_of(name: str) -> str:
    """Return the job's name, or else its base and the end of its id; for a base model its own name."""
    if not name.startswith("ft:") or name.count(":") < PARTS - 1:
        return name
    name, _, checkpoint = name.partition(":ckpt-")
    rest, suffix, job = name.removeprefix("ft:").rsplit(":", 2)
    base = rest.rsplit(":", 1)[0].rsplit("/", 1)[-1]
    step = f", {checkpoint.replace('-', ' ')}" if checkpoint else ""
    return (suffix or f"{base} · {job[-6:]}") + step


def instruction_of(job: JobObject) -> str:
    """Return what a job tells its model with every question; empty if it tells nothing."""
    settings: Json = job["method"]["reinforcement"]["x_rlsd"]
    return str(settings.get("instruction", ""))
