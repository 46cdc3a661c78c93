"""What people call a model, from the name that the API gives it (`ft:BASE:OWNER:SUFFIX:ID`). Pure."""

from frontend.api.types import Json

TRAINED = "trained"
PARTS = 5
"""Of the name of what was trained; a base may hold more colons."""


def is_trained(model: Json) -> bool:
    return bool(model["owned_by"] == TRAINED)


def title_of(name: str) -> str:
    """The name that was given to the job, or its base and the end of its id; a base's own name."""
    if not name.startswith("ft:") or name.count(":") < PARTS - 1:
        return name
    name, _, checkpoint = name.partition(":ckpt-")
    rest, suffix, job = name.removeprefix("ft:").rsplit(":", 2)
    base = rest.rsplit(":", 1)[0].rsplit("/", 1)[-1]
    step = f", {checkpoint.replace('-', ' ')}" if checkpoint else ""
    return (suffix or f"{base} · {job[-6:]}") + step
