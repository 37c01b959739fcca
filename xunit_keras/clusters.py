"""Work spread over the machines of a Ray cluster. All that concerns Ray is here.

What is to be done goes out as small values of JSON, one block of Ray Data each, and
what comes of it comes back as such: whatever happens to a machine concerns the few
files that it had in hand, and another one gets them.
"""

import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xunit_keras import quiet
from xunit_keras.atomic import PREFIX
from xunit_keras.packages import require

LOCAL, AUTO = "local", "auto"
"""Addresses: a cluster of this machine alone, which ends with the work; and the one
that this machine belongs to."""

_KNOCK = 5  # Seconds for an address to answer at all.
_PATIENCE = 60  # Seconds for a node to look at a folder: it may have to start Python.
_TRIES = 3  # How often a process may die of one thing to do.
# Ray keeps some kB a block, and is told of all blocks before the first is worked on.
_PORTION = 10_000

# Read when Ray is imported.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Actors that ask for no GPU are to see the machine as it is.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # What Ray says of machines and processes by itself is not for who restores.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_gcs_rpc_server_connect_timeout_s": str(_KNOCK),
}


class ClusterError(RuntimeError):
    """A cluster, or a machine of it, cannot do the work. The message is a sentence."""


@dataclass(frozen=True)
class Node:
    """A machine of a cluster.

    Attributes:
        id: What Ray calls it.
        address: Its address in the network.
        cpus: How many processors it gives.
        gpus: How many GPUs.
    """

    id: str
    address: str
    cpus: float
    gpus: float

    def room(self, needs: "Needs") -> int:
        """How many workers of a kind have room on it."""
        rooms = [self.cpus // needs.cpus]
        if needs.gpus:
            rooms.append(self.gpus // needs.gpus)
        return int(min(rooms))


@dataclass(frozen=True)
class Needs:
    """What a worker takes up.

    Attributes:
        cpus: Processors.
        gpus: GPUs, which it then has for itself.
    """

    cpus: int = 1
    gpus: int = 0


ONE_PROCESSOR = Needs()


@dataclass(frozen=True)
class Answer:
    """What became of one thing that was to be done.

    Attributes:
        number: Its place among all of them.
        value: What the worker gave; None if it failed.
        error: What was wrong, in a sentence; empty if nothing was.
        seconds: How long it took; None if nobody knows.
        node: The address of the machine; empty if nobody knows.
    """

    number: int
    value: Any
    error: str = ""
    seconds: float | None = None
    node: str = ""


Worker = Callable[[Any], Any]
"""Does one thing after the other: takes and gives values of JSON."""


@contextlib.contextmanager
def connect(
    address: str = LOCAL, environment: Mapping[str, str] | None = None
) -> Iterator["Cluster"]:
    """Joins a cluster; when the block ends, however it does, so does all work there.

    Args:
        address: `HOST:PORT` of the head node of a cluster that this machine belongs to,
            `"auto"` to find it, or `"local"` for one of this machine alone.
        environment: Variables that workers find set.

    Raises:
        ClusterError: Nobody answers there, or not as it should be.
        ImportError: Ray is missing.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if address == LOCAL:
        _lock_out_others()
    elif address != AUTO:
        _knock(address)
    ray = require("ray", "ray")
    require("ray.data", "ray")
    settings: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        settings |= {"include_dashboard": False, "num_cpus": processors()}
    if environment:
        settings["runtime_env"] = {"env_vars": dict(environment)}
    try:
        try:
            with quiet.silence(), _keeping_sigterm():
                ray.init(address, **settings)
        except Exception as error:  # Of many kinds, from many stories of Ray.
            raise ClusterError(
                f"The Ray cluster at {address!r} cannot be joined: {_one_line(error)}"
            ) from error
        yield Cluster()
    finally:
        with quiet.silence():
            ray.shutdown()


class Cluster:
    """The machines of a cluster that has been joined; see `connect`."""

    def nodes(self) -> list[Node]:
        """The machines that are there now."""
        import ray

        return [
            Node(
                node["NodeID"],
                node["NodeManagerAddress"],
                node["Resources"].get("CPU", 0.0),
                node["Resources"].get("GPU", 0.0),
            )
            for node in ray.nodes()
            if node["Alive"]
        ]

    def has_gpus(self) -> bool:
        """Whether any machine gives a GPU."""
        return any(node.gpus for node in self.nodes())

    def check(
        self, needs: Needs, folder: Path | None = None, seen: Sequence[Path] = ()
    ) -> None:
        """Looks whether all machines with room for a worker can do the work.

        They have this version of the package, and share a folder with this machine:
        each has to read what is written here, and what each writes is read here.

        Args:
            needs: What a worker takes up.
            folder: Where results go, if they go into files. Made if need be.
            seen: Files and folders that the machines must see too.

        Raises:
            ClusterError: One cannot; there is no room for a worker; or the folder
                cannot be written into.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = [node for node in self.nodes() if node.room(needs)]
        if not nodes:
            raise ClusterError(_no_room(needs))
        look = ray.remote(num_cpus=0, max_retries=0)(_look)
        paths = [str(path) for path in seen]
        with contextlib.nullcontext() if folder is None else _Mark(folder) as mark:
            asked = [
                look.options(
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, False)
                ).remote(mark and str(mark.path), mark and mark.reply(node), paths)
                for node in nodes
            ]
            for node, reply in zip(nodes, asked, strict=True):
                try:
                    version, word, unseen = _told(node, reply)
                except ClusterError:
                    if node.id in {one.id for one in self.nodes()}:
                        raise
                    continue  # It has gone, and Ray only now knows.
                if version != _version():
                    raise ClusterError(
                        f"The node {node.address} has xunit-keras {version}, and this "
                        f"machine {_version()}: install the same everywhere."
                    )
                if unseen:
                    raise ClusterError(
                        f"{unseen[0]!r} is not seen by the node {node.address}: all "
                        "nodes must mount it at the same place."
                    )
                if mark and not mark.word == word == mark.answer(node):
                    raise ClusterError(
                        f"{str(folder)!r} is not shared with the node {node.address}, "
                        "which does not see what is written here, or the reverse: "
                        "results need a folder that all nodes mount at the same place."
                    )

    def map(
        self,
        make_worker: Callable[[], Worker],
        items: Sequence[Any],
        needs: Needs = ONE_PROCESSOR,
    ) -> Iterator[Answer]:
        """Has things done, as many at once as there is room for.

        Each worker is a process of its own. One that dies is started again, on another
        machine if its own has gone, and what it had in hand is done again; what it died
        of three times is given up.

        Args:
            make_worker: Makes a worker, once in each process. It travels there: a
                function that can be imported, or a `functools.partial` of one.
            items: What is to be done, in values of JSON.
            needs: What a worker takes up.

        Yields:
            One answer for each, in the order in which they are done. The errors of
            workers are answers.

        Raises:
            ClusterError: A worker cannot be made, or the cluster is lost.
        """
        for start in range(0, len(items), _PORTION):
            rows = [
                {"number": number, "item": json.dumps(item)}
                for number, item in enumerate(items[start : start + _PORTION], start)
            ]
            yield from self._map(make_worker, rows, needs)

    def _map(self, make_worker, rows, needs) -> Iterator[Answer]:
        import ray
        from ray import data
        from ray.exceptions import RayError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        room = sum(node.room(needs) for node in self.nodes())
        if not room:
            raise ClusterError(_no_room(needs))
        _set_up(data.DataContext.get_current())
        actor: Any = _Actor
        pool = data.ActorPoolStrategy(
            min_size=1,
            initial_size=min(room, len(rows)),
            max_size=len(rows),  # Machines that come later find something to do.
            max_tasks_in_flight_per_actor=1,  # A process dies of one thing only.
        )
        # Lives here: as long as there is somebody to ask.
        here = ray.get_runtime_context().get_node_id()
        name = uuid.uuid4().hex
        tries: Any = (
            ray.remote(num_cpus=0)(_Tries)
            .options(
                name=name,
                scheduling_strategy=NodeAffinitySchedulingStrategy(here, False),
            )
            .remote()
        )
        done = data.from_items(rows, override_num_blocks=len(rows)).map(
            actor,
            fn_constructor_args=(make_worker, name),
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            compute=pool,
        )
        waiting = {row["number"] for row in rows}
        try:
            for row in done.iter_rows():
                if row["unable"]:
                    raise ClusterError(f"The node {row['node']}: {row['unable']}")
                if row["number"] in waiting:
                    waiting.remove(row["number"])
                    yield Answer(
                        row["number"],
                        json.loads(row["value"]),
                        row["error"],
                        row["seconds"],
                        row["node"],
                    )
        except RayError as error:
            raise ClusterError(
                f"The cluster cannot go on: {_one_line(error)}"
            ) from error
        finally:
            ray.kill(tries)
        for number in sorted(waiting):
            yield Answer(number, None, "The cluster lost it, and does not say why.")


class _Actor:
    """What Ray starts on a machine: a worker, or why there is none."""

    def __init__(self, make_worker: Callable[[], Worker], tries: str):
        import ray

        self.tries: Any = ray.get_actor(tries)
        self.node = ray.util.get_node_ip_address()
        self.unable = ""
        try:
            self.worker = make_worker()
        # Ray would put the sentence among its own.
        except Exception as error:
            self.unable = _one_line(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        import ray

        started = time.perf_counter()
        value, error = None, ""
        begun: Any = ray.get(self.tries.begin.remote(row["number"]))
        if begun > _TRIES:
            error = (
                f"Each of {_TRIES} processes that worked on it ended without a word: "
                "it may need more memory than a node has."
            )
        elif not self.unable:
            try:
                value = self.worker(json.loads(row["item"]))
            # Whatever is wrong with one, the others go on.
            except Exception as problem:
                error = _one_line(problem)
        return {
            "number": row["number"],
            "value": json.dumps(value),
            "error": error,
            "unable": self.unable,
            "seconds": time.perf_counter() - started,
            "node": self.node,
        }


class _Mark:
    """A file in a folder, which each machine answers with one beside it."""

    def __init__(self, folder: Path):
        self.path = folder / f"{PREFIX}{uuid.uuid4().hex}"
        self.word = secrets.token_hex()

    def __enter__(self) -> "_Mark":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(self.word, encoding="utf-8")
        except OSError as error:
            raise ClusterError(
                f"{str(self.path.parent)!r} cannot be written into: {error}"
            ) from error
        return self

    def __exit__(self, *_) -> None:
        for path in self.path.parent.glob(f"{self.path.name}*"):
            with contextlib.suppress(OSError):
                path.unlink()

    def reply(self, node: Node) -> str:
        """Where a machine answers."""
        return f"{self.path}-{node.id}"

    def answer(self, node: Node) -> str | None:
        """What it answered, as seen here."""
        try:
            return Path(self.reply(node)).read_text(encoding="utf-8")
        except OSError:
            return None


class _Tries:
    """Counts how often each thing was begun.

    Ray itself tries without end what a process died of, or else gives up what was in
    hand where a machine was lost.
    """

    def __init__(self):
        self.begun: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        self.begun[number] += 1
        return self.begun[number]


def _look(
    mark: str | None, reply: str | None, seen: list[str]
) -> tuple[str, str | None, list[str]]:
    """On a machine: its version, what it reads and then writes, and what it misses."""
    word = None
    if mark and reply:
        with contextlib.suppress(OSError):
            word = Path(mark).read_text(encoding="utf-8")
            Path(reply).write_text(word, encoding="utf-8")
    return _version(), word, [path for path in seen if not Path(path).exists()]


def _told(node: Node, asked) -> tuple[str, str | None, list[str]]:
    """What `_look` found on a machine."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    try:
        return ray.get(asked, timeout=_PATIENCE)
    except GetTimeoutError as error:
        raise ClusterError(
            f"The node {node.address} does not answer within {_PATIENCE} seconds."
        ) from error
    except RayError as error:
        raise ClusterError(
            f"The node {node.address} cannot run xunit-keras: install it there in the "
            f"same version as here. It says: {_one_line(error)}"
        ) from error


def _set_up(context) -> None:
    """Ray Data, which is to say nothing and to lose nothing."""
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1  # What is lost is found by its number.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


def _knock(address: str) -> None:
    """Looks whether anybody is at an address; Ray would try for a minute."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise ClusterError(
            f"The address of a Ray cluster is HOST:PORT of its head node, {AUTO!r} or "
            f"{LOCAL!r}. Received: {address!r}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"Nobody answers at {address!r} ({error}): start a cluster there with "
            "`ray start --head`, or give the address of one."
        ) from error


def _lock_out_others() -> None:
    """Gives a local cluster a password: Ray listens to the whole network."""
    if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & {*os.environ}:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex()


@contextlib.contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Leaves SIGTERM to who has it; Ray takes it for itself."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and handler is not None:
            signal.signal(signal.SIGTERM, handler)


def processors() -> int:
    """How many processors this process may use, and not how many there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Not on macOS and Windows.
        return os.cpu_count() or 1


def _no_room(needs: Needs) -> str:
    gpus = f" and {needs.gpus} GPU" if needs.gpus else ""
    return (
        f"No node of the cluster gives {needs.cpus} processors{gpus} to a worker: take "
        "fewer --threads, or another --device."
    )


def _version() -> str:
    # Of the package around this module, which is imported by then.
    return sys.modules["xunit_keras"].__version__


def _one_line(error: BaseException) -> str:
    """The message of an error, without the traces that Ray puts around it."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return " ".join(lines) or type(cause).__name__
