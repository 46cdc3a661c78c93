"""What a verifier may do, within which limits, and what the sandbox does not cover.

Allowed: computing; reading the standard library, the sandbox's own library folder, `/usr/lib` and time zones; limited
memory and time; printing (truncated); files in memory (scratch.py); its own alarm timer. The kernel refuses everything
else: other files, writing anywhere, the network, unix sockets, processes, threads, signals, tracing, raising its own
limits.

Rows are isolated from each other, unless the verifier's signature takes batches: a verifier whose source is not plain
(backend/verifiers/isolation.py) gets one process per row; a plain one gets one process per batch, in which its module
is executed again and `random` reseeded for each row, and which ends after a faulty row (memory, recursion, exit).

Code that a model wrote has one more process, one at a time for each process of a verifier, with the same limits; it may
write what it prints to a file in memory of `model_code.wire.MAX_BYTES`.
"""

from dataclasses import dataclass

MIB = 2**20

NOT_COVERED = (
    "kernel bugs reachable through the allowed system calls",
    "side channels: timing, caches, load",
    "metadata of files (whether a path exists, its size) at level 2",
    "information available without a system call, such as the version of Python",
    "a verifier that scores wrongly, or executes a completion itself: it decides the scores of its own rows",
    "clock, os.urandom and addresses (`id`): a verifier that reads them is not repeatable (docs/verifiers.md)",
)

LEVELS = {
    2: "Python verifiers run behind Landlock, a seccomp allow-list and resource limits.",
    1: "Python verifiers run behind seccomp without any file access: this kernel has no Landlock.",
    0: "Python verifiers are refused: the sandbox needs seccomp, which this system lacks. The other types work.",
}
MAX_LEVEL = max(LEVELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """Limits of one row, one process (batch) and one server."""

    row_timeout_s: float = 5.0
    batch_timeout_s: float = 60.0
    """A process is ended after this time, and its remaining rows go to a new one."""
    start_timeout_s: float = 30.0
    memory_bytes: int = 1024 * MIB
    """Address space of one process, in addition to that of its preloaded libraries."""
    batch_rows: int = 64
    """Rows of a Python verifier per process if its source is plain, or per call if it takes batches."""
    own_batch_rows: int = 512
    """Rows per process of all other types."""
    batches_per_server: int = 1000
    consecutive_timeouts: int = 8
    """After this many in one call the verifier counts as hanging, and its remaining rows time out without a run."""

    def __post_init__(self) -> None:
        if not 0 < self.row_timeout_s < self.batch_timeout_s:
            limits = f"row_timeout_s ({self.row_timeout_s}) and batch_timeout_s ({self.batch_timeout_s})"
            raise ValueError(f"{limits}: the first must be above 0 and below the second")
        if self.memory_bytes < 128 * MIB:
            raise ValueError(f"memory_bytes ({self.memory_bytes}) must be at least {128 * MIB} (128 MiB)")
        for name in ("batch_rows", "own_batch_rows", "batches_per_server", "consecutive_timeouts", "start_timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} ({getattr(self, name)}) must be above 0")


# Result of one row, each in characters; a frame with all of them stays below frames.MAX_FRAME_BYTES.
REASON_CHARS = 3000
STDOUT_CHARS = 2000
COMPONENTS = 32
COMPONENT_NAME_CHARS = 64

# Imported before confinement, so that verifiers do not wait for them and have them at level 1, which reads no files.
PRELOADED = (
    *("ast", "base64", "bisect", "cmath", "collections.abc", "copy", "dataclasses", "datetime", "decimal", "difflib"),
    *("enum", "fractions", "functools", "hashlib", "heapq", "html", "itertools", "json", "math", "numbers", "operator"),
    *("random", "re", "sqlite3", "statistics", "string", "textwrap", "time", "typing", "unicodedata", "zlib"),
)

READABLE = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/dev/null", "/dev/urandom")
