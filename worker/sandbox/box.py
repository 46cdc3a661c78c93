"""Inside: what each process that the server forks enters before it runs anything of a user or a model."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from worker.sandbox import confine

MAX_OPEN_FILES = 64


@dataclass(frozen=True, slots=True)
class Box:
    """`server`: process id of the parent. `ruleset`: Landlock's, as a descriptor; None without Landlock."""

    server: int
    ruleset: int | None
    memory_bytes: int
    cpu_s: int

    def enter(self, descriptors: Sequence[int]) -> None:
        """Enter a session and a Landlock domain of its own, with these descriptors open as 0, 1 and so on.

        The domain keeps it from what Landlock lets one process do to another of the same domain: open `/proc/PID/mem`
        and `/proc/PID/fd` of the server or of a sibling.
        """
        confine.die_with_parent(self.server)
        os.setsid()
        if self.ruleset is not None:
            confine.restrict_files(self.ruleset)
        for target, source in enumerate(descriptors):
            os.dup2(source, target, inheritable=False)
        os.closerange(len(descriptors), MAX_OPEN_FILES)

    def close(self, program: bytes | None, *, file_bytes: int = 0) -> None:
        """Set the limits and install a seccomp filter. `file_bytes`: size of a file that it may write."""
        confine.limit_resources(
            memory_bytes=self.memory_bytes, cpu_s=self.cpu_s, open_files=MAX_OPEN_FILES, file_bytes=file_bytes
        )
        if program is not None:
            confine.install_filter(program)
