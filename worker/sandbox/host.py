"""Inside: the fork server. Confines itself, then forks one child per batch, which it confines more strictly.

Started by server.py with a bare environment; descriptor 0 is the socket to its owner. A request is one message:
`sequence (u32) | runs model code (bool)` and two descriptors, the batch to read (first line the program, then one line
per row) and the pipe for result frames. The reply, once the child has exited, is `sequence | wait status | peak memory
(KiB)`. The one-byte message `K` kills the child at once. The server exits with its owner: it watches the owner's pidfd,
because PR_SET_PDEATHSIG would follow the thread that started it. The child follows the server by PR_SET_PDEATHSIG.

A child that runs model code can ask for processes for it (model_code/spawner.py). They are forked from here, where no
row is ever read, so that none of them has inherited what its verifier knows.
"""

import array
import gc
import importlib
import json
import os
import platform
import resource
import select
import signal
import socket
import struct
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from worker.sandbox import confine, frames, grading, library_scorers, model_code, scores, syscalls
from worker.sandbox.box import MAX_OPEN_FILES, Box
from worker.sandbox.frames import RESULT_FD
from worker.sandbox.model_code import process, wire
from worker.sandbox.model_code.spawner import Spawner
from worker.sandbox.policy import MAX_LEVEL, PRELOADED, READABLE

REQUEST = struct.Struct("!I?")
REPLY = struct.Struct("!IiI")
KILL = b"K"
BATCH_FD, CHANNEL_FD = 4, 5
EXIT_AFTER_FAULTY_ROW = 3
"""Exit status of a child that answered a faulty row and leaves the other rows to a new process."""
EXIT_CALL_FAILED = 4
"""Exit status of a child whose single call for several rows returned no scores."""


def main() -> None:
    settings = json.loads(sys.argv[1])
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=0)
    null = os.open(os.devnull, os.O_RDWR)
    while null <= CHANNEL_FD:  # so that no later descriptor has one of a child's numbers
        null = os.dup(null)
    owner = os.pidfd_open(settings["owner"])
    if os.getppid() != settings["owner"]:
        return
    gc.disable()  # nothing loaded here is ever freed, so collecting only takes time
    libraries = settings["libraries"]
    sys.path[:] = [path for path in sys.path if path != settings["root"]] + ([libraries] if libraries else [])
    for name in PRELOADED:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("backend", "worker")]:
        del sys.modules[name]  # what is needed is loaded; verifiers import nothing of the service
    sys.modules["model_code"] = model_code  # the name that verifiers import it by
    grown_bytes = preload(settings["preload"])
    confinement, ruleset = confine_server(max_level=settings["max_level"], libraries=libraries)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    gc.collect()
    gc.freeze()
    gc.enable()
    control.send(json.dumps(confinement | {"python": platform.python_version()}).encode())
    box = Box(
        server=os.getpid(),
        ruleset=ruleset,
        memory_bytes=settings["memory_bytes"] + grown_bytes,
        cpu_s=settings["cpu_s"],
    )
    serve(control, owner=owner, null=null, box=box, level=confinement["level"])


def preload(modules: Sequence[str]) -> int:
    """Import and warm libraries. Returns the growth of the address space in bytes, to be added to the memory limit."""
    if not modules:
        return 0
    before = address_space_bytes()
    for name in modules:
        importlib.import_module(name)
    for name in set(modules) & set(library_scorers.WARM):
        library_scorers.WARM[name]()
    return max(0, address_space_bytes() - before)


def address_space_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def confine_server(*, max_level: int, libraries: str | None) -> tuple[dict[str, int], int | None]:
    """Confine this process. Returns the level reached with Landlock's ABI in use (0: none), and a descriptor of its
    rules.
    """
    confine.forbid_new_privileges()
    confine.drop_capabilities()
    abi = confine.landlock_abi() if max_level >= MAX_LEVEL else 0
    has_filter = max_level >= 1 and confine.seccomp_available()
    if not has_filter:
        return {"level": 0, "landlock_abi": 0}, None
    ruleset = None
    if abi:
        readable, listable = library_paths(libraries)
        ruleset = confine.file_rules(readable, listable=listable, abi=abi)
        confine.restrict_files(ruleset)
    machine = platform.machine()
    tables = (syscalls.COMPUTING, syscalls.READING, syscalls.ASKING, syscalls.SERVING)
    allowed = syscalls.numbers(*tables, machine=machine)
    confine.install_filter(confine.assemble(allowed, opening=syscalls.opening(machine=machine), machine=machine))
    return {"level": 2 if abi else 1, "landlock_abi": abi}, ruleset


def library_paths(libraries: str | None) -> tuple[list[Path], list[Path]]:
    """Return (readable files and folders, listable folders): the standard library without its site-packages."""
    standard = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    inside = [entry for folder in standard for entry in folder.iterdir()]
    readable = [entry for entry in inside if entry.name not in ("site-packages", "dist-packages")]
    shared = [entry for folder in standard for entry in folder.parent.glob("*.so*")]
    own = [Path(libraries)] if libraries else []
    return [*readable, *shared, *map(Path, READABLE), *own], list(standard)


def child_filter(level: int, *tables: syscalls.Numbers) -> bytes | None:
    """Assemble the filter of a child, which may also make the system calls in `tables`. None at level 0."""
    if level == 0:
        return None
    machine = platform.machine()
    if level < MAX_LEVEL:
        allowed = syscalls.numbers(syscalls.COMPUTING, *tables, machine=machine)
        return confine.assemble(allowed, opening={}, machine=machine)
    allowed = syscalls.numbers(syscalls.COMPUTING, syscalls.READING, *tables, machine=machine)
    return confine.assemble(allowed, opening=syscalls.opening(machine=machine), machine=machine)


def serve(control: socket.socket, *, owner: int, null: int, box: Box, level: int) -> None:
    plain_filter, asking_filter = child_filter(level), child_filter(level, syscalls.ASKING)

    def enter_model_code(descriptors: Sequence[int]) -> None:
        box.enter(descriptors)
        box.close(plain_filter, file_bytes=wire.MAX_BYTES)

    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(owner, select.POLLIN)
    while True:
        if owner in (descriptor for descriptor, _ in poller.poll()):
            return
        message, descriptors = receive(control)
        if not message:
            return
        if message == KILL:  # its child has already exited
            continue
        sequence, runs_model_code = REQUEST.unpack(message)
        batch, result = descriptors
        spawner = Spawner(null=null, enter=enter_model_code) if runs_model_code else None
        child = os.fork()
        if child == 0:
            try:
                channel = [spawner.verifier.fileno()] if spawner else []
                box.enter((null, null, null, result, batch, *channel))
                run_batch(box, program=asking_filter if spawner else plain_filter, asks=spawner is not None)
            finally:
                os._exit(1)
        for descriptor in descriptors:
            os.close(descriptor)
        alive = await_child(child, control=control, owner=owner, spawner=spawner)
        if spawner:
            spawner.close()
        if not alive:
            return
        _, status, usage = os.wait4(child, 0)
        control.send(REPLY.pack(sequence, status, usage.ru_maxrss))


def receive(control: socket.socket) -> tuple[bytes, list[int]]:
    received = array.array("i")
    message, ancillary, _, _ = control.recvmsg(64, socket.CMSG_SPACE(2 * received.itemsize))
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
    return message, received.tolist()


def await_child(child: int, *, control: socket.socket, owner: int, spawner: Spawner | None) -> bool:
    """Wait until the child has exited; answer what it asks. False if the owner is gone; the child is then killed."""
    ended = os.pidfd_open(child)
    asking = spawner.server.fileno() if spawner else -1
    poller = select.poll()
    for descriptor in (ended, control.fileno(), owner, *([asking] if spawner else [])):
        poller.register(descriptor, select.POLLIN)
    try:
        while True:
            ready = {descriptor for descriptor, _ in poller.poll()}
            if ended in ready:
                return True
            if spawner and asking in ready and not spawner.answer():
                poller.unregister(asking)
                spawner.close()
            if ready <= {asking}:
                continue
            message = b"" if owner in ready else receive(control)[0]
            kill_group(child)
            if not message:
                return False
            poller.unregister(control)
    finally:
        os.close(ended)


def kill_group(child: int) -> None:
    """Kill the child's session; only the child if it has no session yet."""
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(child, signal.SIGKILL)


# -- the child --------------------------------------------------------------------------------------------------------


def read_all(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    parts: list[bytes] = []
    offset = 0
    while offset < size:
        part = os.pread(descriptor, size - offset, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
    os.close(descriptor)
    return b"".join(parts)


def run_batch(box: Box, *, program: bytes | None, asks: bool) -> None:
    spec, *rows = read_all(BATCH_FD).split(b"\n")
    if asks:
        process.connect(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=CHANNEL_FD))
    box.close(program)
    graded = grading.prepare(json.loads(spec))
    write(frames.ready())
    try:
        for frame in graded(rows):
            write(frame)
    except scores.FaultyRow as faulty:
        write(faulty.frame)
        os._exit(EXIT_AFTER_FAULTY_ROW)
    except scores.CallFailed:
        os._exit(EXIT_CALL_FAILED)
    os._exit(0)


def write(frame: bytes) -> None:
    while frame:
        frame = frame[os.write(RESULT_FD, frame) :]
