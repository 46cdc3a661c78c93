"""Settings that were chosen and change nothing, because the method does not read them or another setting is off."""

from collections.abc import Collection, Iterator

from backend.core.methods import METHODS
from backend.core.settings.spec import SECTIONS, RlsdSettings
from backend.core.settings.table import entries


def idle_settings(settings: RlsdSettings, *, given: Collection[str]) -> Iterator[str]:
    """Yield a clause for each setting in `given`, names of the API, that has no effect. One at its default is none."""
    values, parts = settings.model_dump(by_alias=True), METHODS[settings.method].parts
    for section in SECTIONS.values():
        for entry in entries(section):
            name, when = entry.name, entry.about.when
            if name not in given or values[name] == entry.default:
                continue
            if entry.about.part is not None and entry.about.part not in parts:
                yield f"{settings.method} does not read {name}"
            elif when is not None and (values[when.setting] == when.value) == when.differs:
                yield f"{name} needs {when.setting} {'other than' if when.differs else 'to be'} {when.value}"
