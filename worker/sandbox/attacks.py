"""Attacks on the sandbox, as verifiers: each returns a true score exactly if it succeeds.

`probe.py` runs them in the real sandbox; the tests add more. `item` holds the targets: the owner's process id and an
address in it, a readable file, a listening TCP port, a unix socket by path and one by abstract name, a folder to
write to. What is refused by name when a verifier is saved is looked up with `getattr`.
"""

from dataclasses import dataclass

_CTYPES = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"


@dataclass(frozen=True, slots=True)
class Attack:
    """An attack. Each of the `layers` alone would stop it; `source` is that of a Python verifier."""

    name: str
    layers: tuple[str, ...]
    source: str


def _attack(name: str, layers: str, body: str, *, head: str = "import os\n") -> Attack:
    lines = "\n".join("    " + line for line in body.strip("\n").splitlines())
    return Attack(name=name, layers=tuple(layers.split()), source=f"{head}def grade(sample, item):\n{lines}\n")


ATTACKS = (
    _attack("read a file of the owner", "landlock", "return 'prize' in open(item['file']).read()"),
    _attack("list a folder", "landlock", "return len(os.listdir('/')) > 0"),
    _attack("write a file", "landlock", "return os.open(item['folder'] + '/written', os.O_WRONLY | os.O_CREAT) > 0"),
    # The device stands in for a readable file: nothing is lost if the attack succeeds.
    _attack("empty a readable file", "seccomp", "os.open(os.devnull, os.O_RDONLY | os.O_TRUNC)\nreturn 1"),
    _attack("delete a file", "landlock seccomp", "os.unlink(item['file'])\nreturn 1"),
    _attack("change a file's mode", "seccomp", "os.chmod(item['file'], 0o777)\nreturn 1"),
    _attack(
        "read the owner's environment", "landlock", "return len(open(f\"/proc/{item['owner']}/environ\").read()) > 0"
    ),
    _attack("find the owner's environment inherited", "environment", "return 'RLSD_SANDBOX_PRIZE' in os.environ"),
    _attack(
        "read the owner's memory",
        "landlock",
        "return len(os.pread(os.open(f\"/proc/{item['owner']}/mem\", os.O_RDONLY), 8, item['address'])) > 0",
    ),
    _attack(
        "connect by TCP",
        "landlock seccomp",
        "socket.create_connection(('127.0.0.1', item['port']), timeout=1)\nreturn 1",
        head="import socket\n",
    ),
    _attack(
        "connect to a unix socket by path",
        "seccomp",
        "socket.socket(socket.AF_UNIX).connect(item['socket'])\nreturn 1",
        head="import socket\n",
    ),
    _attack(
        "connect to an abstract unix socket",
        "landlock seccomp",
        "socket.socket(socket.AF_UNIX).connect('\\0' + item['abstract'])\nreturn 1",
        head="import socket\n",
    ),
    _attack("signal the owner", "landlock seccomp", "os.kill(item['owner'], 0)\nreturn 1"),
    _attack(
        "trace the owner",
        "landlock seccomp",
        "return libc.ptrace(0x4206, item['owner'], None, None) == 0",
        head=_CTYPES,
    ),
    _attack(
        "fork",
        "seccomp",
        "pid = getattr(os, 'fork')()\nif pid == 0:\n    os._exit(0)\nreturn 1",
    ),
    _attack(
        "start a thread",
        "seccomp",
        "__import__('threading').Thread(target=print).start()\nreturn 1",
    ),
    _attack("run a program", "landlock seccomp", "getattr(os, 'execv')('/bin/true', ['true'])"),
    _attack("make a file in memory", "seccomp", "return os.memfd_create('x') > 0"),
    _attack(
        "raise its own limits",
        "seccomp",
        "resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)\nreturn 1",
        head="import resource\n",
    ),
    _attack("take 4 GiB of memory", "rlimits", "return len(bytearray(4 * 2**30)) > 0"),
    _attack(
        "find a descriptor left open",
        "host",
        """
found = []
for descriptor in range(4, 512):
    try:
        os.read(descriptor, 0)
        found.append(descriptor)
    except OSError as error:
        if error.errno != 9:
            found.append(descriptor)
return len(found)
""",
    ),
)
