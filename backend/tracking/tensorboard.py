"""TensorBoard: event files in a folder for each run.

A resumed run writes a new file there, which begins with a session start that invalidates the later steps before it.
"""

import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.text.metadata import create_summary_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from backend.tracking.run import Figures, TrackedRun


class TensorBoard:
    """The event files of a run below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: EventFileWriter | None = None

    def begin(self, run: TrackedRun) -> None:
        self._writer, now = EventFileWriter(str(self._folder / run.id)), time.time()
        self._writer.add_event(Event(step=0, wall_time=now, session_log=SessionLog(status=SessionLog.START)))
        self._add(_settings_table(run), step=0, at=now)

    def log(self, figures: Figures) -> None:
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in figures.values.items()]
        self._add(Summary(value=scalars), step=figures.step, at=figures.at)

    def end(self, *, finished: bool) -> None:
        if self._writer is not None:
            self._writer.close()

    def _add(self, summary: Summary, *, step: int, at: float) -> None:
        assert self._writer is not None
        self._writer.add_event(Event(step=step, wall_time=at, summary=summary))
        self._writer.flush()


def _settings_table(run: TrackedRun) -> Summary:
    """Format the settings as a Markdown table for TensorBoard's text page."""
    lines = [f"**{run.name}**", "", "| setting | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in run.settings.items()]
    text = TensorProto(dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=["\n".join(lines).encode()])
    metadata = create_summary_metadata(display_name="settings", description="")
    return Summary(value=[Summary.Value(tag="settings", metadata=metadata, tensor=text)])
