"""Work on a Ray cluster. Each test has one of its own, in processes of its own."""

import importlib.util
import json
import os
import socket

import pytest

from xunit_keras import clusters

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or os.name == "nt",
    reason="needs the extra `ray`, and signals",
)

# What workers do depends on the number that they are given. They are defined in the
# program, and so go out as they are.
_PROGRAM = """
import json, os, signal, sys
from xunit_keras import clusters

def make():
    def work(item):
        number = item["number"]
        if number == 2:
            raise ValueError("The third is\\n bad.")
        if number == 3:
            raise MemoryError
        if number == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 5 and not os.path.exists(item["file"]):
            open(item["file"], "x").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"square": number**2, "pid": os.getpid()}
    return work

def unable():
    raise ImportError("There is no engine.")

clusters._PORTION = 7  # Of which Ray Data is told at a time.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
items = [{"number": number, "file": sys.argv[1]} for number in range(12)]
with clusters.connect("local") as cluster:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    node, = cluster.nodes()
    assert node.cpus == clusters.processors() and not cluster.has_gpus()
    answers = [vars(answer) for answer in cluster.map(make, items)]
    sentences = []
    for make, needs in ((unable, clusters.Needs()), (make, clusters.Needs(10_000))):
        try:
            list(cluster.map(make, items, needs))
        except clusters.ClusterError as error:
            sentences.append(str(error))
print(json.dumps([answers, sentences]))
"""


@pytest.mark.slow
def test_errors_are_answers_and_the_others_go_on(run_python, tmp_path):
    """Bad things to do, a process that dies of one of them, and one that dies once."""
    answers, sentences = json.loads(run_python("-c", _PROGRAM, tmp_path / "once"))
    by_number = {answer["number"]: answer for answer in answers}
    assert len(answers) == len(by_number) == 12
    errors = {n: a["error"] for n, a in by_number.items() if a["error"]}
    assert errors.keys() == {2, 3, 4}
    assert errors[2] == "The third is bad."
    assert errors[3] == "MemoryError"
    assert "3 processes that worked on it ended without a word" in errors[4]
    done = by_number.keys() - errors.keys()
    assert all(by_number[n]["value"]["square"] == n**2 for n in done)
    assert all(by_number[n]["seconds"] >= 0 and by_number[n]["node"] for n in done)
    assert "There is no engine." in sentences[0] and sentences[0].count("\n") == 0
    assert "gives 10000 processors to a worker" in sentences[1]


def test_an_address_where_nobody_answers():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with (
            pytest.raises(clusters.ClusterError, match=f"Nobody .* '{address}'"),
            clusters.connect(address),
        ):
            pass


@pytest.mark.parametrize(
    "address", ["somewhere", "ray://127.0.0.1:10001", "127.0.0.1:", ":6379", "a:b", ""]
)
def test_what_is_no_address(address):
    with (
        pytest.raises(clusters.ClusterError, match="HOST:PORT of its head node"),
        clusters.connect(address),
    ):
        pass
