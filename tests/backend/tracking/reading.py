"""Reading of what was logged to trackers with their own libraries: name -> [(step, value)].

The libraries are imported where they are used, since each process of a test run imports all test modules.
"""

import json
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Run
    from wandb.proto.wandb_internal_pb2 import Record

Curves = dict[str, list[tuple[int, float]]]


def tensorboard_curves(folder: Path) -> Curves:
    """Return the curves that TensorBoard shows; steps that a resumed run has repeated are discarded."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(scalar.step, round(scalar.value, 6)) for scalar in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def mlflow_run(uri: str, experiment: str) -> "tuple[Run, Curves]":
    """Return the only run of the experiment, and its curves."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    stored = client.get_experiment_by_name(experiment)
    assert stored is not None
    [run] = client.search_runs([stored.experiment_id])
    names = run.data.metrics
    return run, {
        name: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        for name in names
    }


BLOCK_BYTES, FILE_HEADER_BYTES = 32768, 7
CHUNK_HEADER = struct.Struct("<IHB")
"""Checksum, length, kind."""
WHOLE, LAST = 1, 4


def wandb_records(folder: Path) -> "list[Record]":
    """Return all records of all offline runs in the folder, in chronological order."""
    from wandb.proto.wandb_internal_pb2 import Record

    paths = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    return [Record.FromString(data) for path in paths for data in _logged(path.read_bytes())]


def _logged(data: bytes) -> Iterator[bytes]:
    """Yield the entries of a log in LevelDB's format: chunks that do not cross block boundaries."""
    position, entry = FILE_HEADER_BYTES, b""
    while position + CHUNK_HEADER.size <= len(data):
        left = BLOCK_BYTES - position % BLOCK_BYTES
        if left < CHUNK_HEADER.size:
            position += left
            continue
        _, length, kind = CHUNK_HEADER.unpack_from(data, position)
        entry += data[position + CHUNK_HEADER.size : position + CHUNK_HEADER.size + length]
        position += CHUNK_HEADER.size + length
        if kind in (WHOLE, LAST):
            yield entry
            entry = b""


def wandb_curves(folder: Path) -> Curves:
    curves: Curves = defaultdict(list)
    for record in wandb_records(folder):
        if record.HasField("history"):
            values = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item
            }
            for name, value in values.items():
                if not name.startswith("_"):
                    curves[name].append((values["_step"], value))
    return dict(curves)
