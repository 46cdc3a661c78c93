"""Files that the command line writes."""

import stat
from pathlib import Path

from backend.cli.http_client import private_file


def test_a_new_file_is_private_and_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    new, old = tmp_path / "adapter.zip", tmp_path / "shared.zip"
    old.touch(mode=0o644)
    old.chmod(0o644)
    for path in (new, old):
        with private_file(path) as file:
            file.write(b"PK")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (new, old)] == [0o600, 0o644]
    assert old.read_bytes() == b"PK"
