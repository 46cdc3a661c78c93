"""The settings of a run."""

from pydantic import ConfigDict

from backend.core.settings.spec import RlsdSettings


class Settings(RlsdSettings):
    """The settings of a job, by their names in Python, and its seed. ValueError naming the field of a bad value."""

    model_config = ConfigDict(validate_by_name=True)

    seed: int
