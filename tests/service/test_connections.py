"""Two processes never speak over one connection to the database."""

import json
import subprocess
import sys

from backend.embedded import Services

FORKING = """
import json, os
from sqlalchemy import text
from backend.db.engine import transaction

def server():  # the process at the other end of the connection
    with transaction() as session:
        return session.scalar(text("SELECT pg_backend_pid()"))

before = server()
receiving, sending = os.pipe()
if os.fork() == 0:
    os.write(sending, str(server()).encode())
    os._exit(0)
child = int(os.read(receiving, 100))
os.wait()
print(json.dumps({"before": before, "child": child, "after": server()}))
"""


def test_a_forked_child_has_a_connection_of_its_own_and_its_parent_keeps_its_own(services: Services) -> None:
    ran = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    at_the_other_end = json.loads(ran.stdout)
    assert at_the_other_end["child"] != at_the_other_end["before"]
    assert at_the_other_end["after"] == at_the_other_end["before"]
