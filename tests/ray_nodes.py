"""Nodes of Ray on this machine, each a tree of processes of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Ray's sockets need short paths.
_PLACE = "/tmp"


class Nodes:
    """Nodes of one cluster, on addresses of their own of the loopback.

    `ray stop` would end everybody's.
    """

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ray", dir=_PLACE)
        self.processes = []
        with socket.socket() as free:
            free.bind(("127.0.0.2", 0))
            self.address = f"127.0.0.2:{free.getsockname()[1]}"

    def start(self, *arguments, cwd=None, **environment):
        """Starts a node, the head first; gives the address that it is known by."""
        number = len(self.processes) + 2
        host = f"127.0.0.{number}"
        port = self.address.partition(":")[2]
        role = ["--address", self.address]
        if not self.processes:
            role = ["--head", "--port", port, "--include-dashboard=false"]
            role += ["--temp-dir", self.folder.name]
        log = Path(self.folder.name, f"node-{number}.log")
        with log.open("w") as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ray.scripts.scripts", "start", *role),
                    *("--node-ip-address", host, "--num-cpus", "1", "--block"),
                    *("--object-store-memory", "100000000", "--disable-usage-stats"),
                    *arguments,
                ],
                cwd=cwd,
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        return host

    def kill(self, number):
        """Ends all processes of a node, without a word."""
        process = self.processes[number]
        for member in members(process.pid):
            with contextlib.suppress(ProcessLookupError):  # Some end with others.
                os.kill(member, signal.SIGKILL)
        process.wait()

    def stop(self):
        for number in reversed(range(len(self.processes))):
            self.kill(number)
        self.folder.cleanup()


def members(session):
    """The processes of a session, and those that they started."""
    parents = {}
    found = {session}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(status.parent.name)
        parents[pid] = int(fields[1])
        if int(fields[3]) == session:
            found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return [pid for pid in found if pid in parents]
