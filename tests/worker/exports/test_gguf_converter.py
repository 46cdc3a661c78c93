"""A converter of its own gets a folder of its own."""

from pathlib import Path

import pytest

from backend.settings import settings
from worker.exports.gguf_converter import convert

CONVERTER = """
import sys
from pathlib import Path
folder, path = Path(sys.argv[1]), Path(sys.argv[3])
path.write_text(folder.name + (folder / "config.json").read_text())
(folder / "added.txt").write_text("added")
(folder / "config.json").unlink()
(folder / "config.json").write_text("changed")
"""


def test_what_a_converter_puts_into_the_folder_that_it_reads_is_gone_for_the_next_dtype(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter, merged = tmp_path / "converter.py", tmp_path / "merged"
    converter.write_text(CONVERTER)
    merged.mkdir()
    (merged / "config.json").write_text("{}")
    monkeypatch.setenv("RLSD_GGUF_CONVERTER", str(converter))
    settings.cache_clear()
    try:
        for dtype in ("q8_0", "float16"):
            convert(merged, tmp_path / "model.gguf", name="m", dtype=dtype)
            assert (tmp_path / "model.gguf").read_text() == "merged{}"
    finally:
        settings.cache_clear()
    assert {path.name: path.read_text() for path in merged.iterdir()} == {"config.json": "{}"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["converter.py", "merged", "model.gguf"]
