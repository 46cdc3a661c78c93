"""What a verifier may do, within which limits, and what the sandbox does not cover.

Allowed: computing; reading the standard library, the sandbox's own library folder, `/usr/lib` and time zones; its
share of memory and time; printing (cut); an alarm clock for itself. Everything else is refused by the kernel: other
files, writing anywhere, the network, unix sockets, processes, threads, signals, tracing, new descriptors from memory,
raising its own limits.

Two rows never meet, unless the verifier's signature takes batches: a verifier whose source is not plain
(backend/verifiers/isolation.py) gets a process for every row; a plain one shares a process for a batch, with its module
executed anew, `random` reseeded from the row, and the process thrown away after an odd row (memory, recursion, exit).
"""

from dataclasses import dataclass

MIB = 2**20

NOT_COVERED = (
    "bugs of the kernel that its system-call filter still lets through",
    "side channels: timing, caches, load",
    "metadata of files (whether a path exists, its size) at level 2",
    "names that a verifier can look up without a system call, such as the version of Python",
    "a verifier that lies to its author: it decides the scores of its own rows",
    "clock, os.urandom and addresses (`id`): a verifier that reads them is not repeatable (docs/verifiers.md)",
)

LEVELS = {
    2: "Python verifiers run behind Landlock, a seccomp allow-list and resource limits.",
    1: "Python verifiers run behind seccomp without any access to files: this kernel has no Landlock.",
    0: "Python verifiers are refused: this system has no seccomp filter for the sandbox; the other types work.",
}
MAX_LEVEL = max(LEVELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """Of one row, one process (batch) and one server."""

    row_timeout_s: float = 5.0
    batch_timeout_s: float = 60.0
    """A process that has lived this long is ended, and the rows it has not done go to a new one."""
    start_timeout_s: float = 30.0
    memory_bytes: int = 1024 * MIB
    """Address space of one process, beside that of the libraries loaded for it."""
    batch_rows: int = 64
    """Rows of a Python verifier that share a process, where its source is plain, or a call, where it takes batches."""
    own_batch_rows: int = 512
    """The same for all other types."""
    batches_per_server: int = 1000
    consecutive_timeouts: int = 8
    """After so many in one call the verifier is taken to hang, and its remaining rows time out untried."""

    def __post_init__(self) -> None:
        if not 0 < self.row_timeout_s < self.batch_timeout_s:
            limits = f"row_timeout_s ({self.row_timeout_s}) and batch_timeout_s ({self.batch_timeout_s})"
            raise ValueError(f"{limits}: the first must be above 0 and below the second")
        if self.memory_bytes < 128 * MIB:
            raise ValueError(f"memory_bytes ({self.memory_bytes}) must be at least {128 * MIB} (128 MiB)")
        for name in ("batch_rows", "own_batch_rows", "batches_per_server", "consecutive_timeouts", "start_timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} ({getattr(self, name)}) must be above 0")


# What comes back of one row, each in characters; a frame with all of them stays below frames.MAX_FRAME_BYTES.
REASON_CHARS = 3000
STDOUT_CHARS = 2000
COMPONENTS = 32
COMPONENT_NAME_CHARS = 64

# Imported before confinement, so that a verifier does not wait for them and level 1 has them at all.
PRELOADED = (
    *("ast", "base64", "bisect", "cmath", "collections.abc", "copy", "dataclasses", "datetime", "decimal", "difflib"),
    *("enum", "fractions", "functools", "hashlib", "heapq", "html", "itertools", "json", "math", "numbers", "operator"),
    *("random", "re", "statistics", "string", "textwrap", "time", "typing", "unicodedata", "zlib"),
)

READABLE = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/dev/null", "/dev/urandom")
