"""`restore --ray` on nodes that are real: processes of their own on this machine."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from ray_nodes import Nodes, members
from test_reports import read

from xunit_keras import bulk, photographs, restoration
from xunit_keras.atomic import PREFIX
from xunit_keras.clusters import Answer
from xunit_keras.imaging import files
from xunit_keras.imaging.files import Photograph
from xunit_keras.imaging.samples import sample_photographs
from xunit_keras.restorer import Restorer

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or sys.platform != "linux",
    reason="needs the extra `ray`, 127.0.0.2, and /proc to find processes",
)

MODEL = "xdncnn-color-blind"


def make(folder, count, side=120):
    """So many photographs, each of its own."""
    pixels = sample_photographs()["astronaut"]
    for number in range(count):
        corner = pixels[number : number + side, 2 * number : 2 * number + side]
        suffix = ("png", "jpg", "tif")[number % 3]
        files.write(folder / f"{number % 4}/{number}.{suffix}", Photograph(corner))
    return folder


def command(source, target, *options):
    return [
        *(sys.executable, "-m", "xunit_keras", "restore", "-i", str(source)),
        *("-o", str(target), "-m", MODEL, *map(str, options)),
    ]


def run(source, target, *options, **more):
    """Exit code, output and complaints of a restoration."""
    result = subprocess.run(
        command(source, target, *options), capture_output=True, text=True, **more
    )
    return result.returncode, result.stdout, result.stderr


def begin(source, target, *options, **more):
    return subprocess.Popen(
        command(source, target, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **more,
    )


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def await_files(folder, count, process):
    while len([*folder.rglob("[!.]*.*")]) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def runs(pid):
    """Whether a process is there, and not only waits for its parent to look."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def actors(session):
    """The processes that restore, among those that a process started."""
    found = []
    for pid in members(session):
        try:
            name = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        if name.startswith("ray::") and "IDLE" not in name:
            found.append(pid)
    return found


@pytest.fixture(scope="module")
def forty(tmp_path_factory):
    """Forty photographs, and what they become without Ray."""
    folder = tmp_path_factory.mktemp("forty")
    source = make(folder / "in", 40)
    assert run(source, folder / "out")[0] == 0
    return source, contents(folder / "out")


@pytest.fixture
def nodes():
    nodes = Nodes()
    yield nodes
    nodes.stop()


class InProcess:
    """A cluster of two processes that are not there."""

    def __init__(self, answers=None):
        self.answers = answers

    def check(self, needs, folder, seen):
        self.checked = folder, seen

    def map(self, make_worker, items, needs):
        workers = [make_worker(), make_worker()]
        for number, item in enumerate(items):
            try:
                told = workers[number % 2](json.loads(json.dumps(item)))
                answer = Answer(number, json.loads(json.dumps(told)), "", 1.0, "there")
            except ValueError as error:
                answer = Answer(number, None, str(error), 1.0, "there")
            yield (self.answers or {}).get(number, answer)


def on(cluster, source, target, **arguments):
    """What becomes of a folder on a cluster, and what is told of models."""
    jobs = photographs.plan(source, target).jobs
    told = []
    make = partial(Restorer, restoration.open_network, None, "denoise")
    outcomes = bulk.restore_files(
        *(jobs, make, cluster, target),
        tell=lambda name, choices: told.append((name, [c.model for c in choices])),
        **arguments,
    )
    return list(outcomes), told


def test_a_choice_of_many_processes_is_told_once(tmp_path, monkeypatch):
    source = make(tmp_path / "in", 6, 40)
    monkeypatch.chdir(tmp_path)
    cluster = InProcess()
    outcomes, told = on(cluster, Path("in"), Path("out"), seen=[source])
    assert [outcome.error for outcome in outcomes] == [None] * 6
    assert {(o.seconds, o.node) for o in outcomes} == {(1.0, "there")}
    assert all(outcome.job.target.exists() for outcome in outcomes)
    models = [model for _, (model,) in told]
    assert len(models) == len({*models}) >= 1
    # Other machines work in other folders.
    assert cluster.checked == (
        tmp_path / "out",
        [tmp_path / "in" / "0" / "0.png", source],
    )


def test_a_file_that_was_written_by_a_lost_machine_is_restored(tmp_path):
    source, lost = make(tmp_path / "in", 3, 40), "Each of 3 processes ended."
    (tmp_path / "out" / "1").mkdir(parents=True)
    (tmp_path / "out" / "1" / "1.jpg").write_text("Whole, but nobody said so.")
    cluster = InProcess({n: Answer(n, None, lost) for n in (1, 2)})
    (source / "2" / "2.tif").write_bytes(b"not an image")
    outcomes, _ = on(cluster, source, tmp_path / "out")
    assert [str(o.error) for o in outcomes] == ["None", "None", lost]
    assert outcomes[2].seconds is None and outcomes[2].node == ""


@pytest.mark.parametrize("model", ["xderain", "none/at/all"])
def test_what_models_are_called_on_other_machines(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.onnx").touch()
    assert bulk.named_everywhere("mine.onnx") == (
        str(tmp_path / "mine.onnx"),
        [tmp_path / "mine.onnx"],
    )
    if model == "xderain":
        (tmp_path / model).mkdir()  # The released one goes first, as everywhere.
        assert bulk.named_everywhere(model) == (model, [])
    else:
        with pytest.raises(ValueError, match="There is no model"):
            bulk.named_everywhere(model)


def test_the_same_as_without_ray(tmp_path):
    """Good and bad files in one run, and what is there is left."""
    source = make(tmp_path / "in", 6, 60)
    (source / "text.png").write_text("This is no image.")
    plain, spread = tmp_path / "plain", tmp_path / "spread"
    code, printed, complaints = run(source, plain, "--report", tmp_path / "plain.csv")
    assert code == 1 and "Restored 6 of 7" in printed and "text.png" in complaints
    (spread / "0").mkdir(parents=True)
    (spread / "0" / "0.png").write_bytes(b"kept")
    report = tmp_path / "spread.parquet"
    code, printed, complaints = run(source, spread, "--report", report, "--ray")
    assert code == 1, complaints
    assert "Restored 5 of 6" in printed and "Left out 1" in printed
    assert len(complaints.splitlines()) == 1 and "text.png" in complaints
    assert contents(spread) == {**contents(plain), "0/0.png": b"kept"}
    rows = {row.source: row for row in read(report)}
    for row in read(tmp_path / "plain.csv"):
        name = Path(row.source).relative_to(source)
        if name != Path("0/0.png"):
            there = rows.pop(row.source)
            assert there.target == str(spread / name)
            assert there.error == row.error and there.seconds > 0 and there.node
    assert not rows
    assert list(printed.splitlines()[:-2]) != []


@pytest.mark.slow
def test_a_folder_of_bad_files(tmp_path):
    source = make(tmp_path / "in", 4)
    bad = sorted(path for path in source.rglob("*") if path.is_file())
    for path in bad:
        path.write_bytes(path.read_bytes()[:40])
    report = tmp_path / "report.csv"
    code, printed, complaints = run(
        source, tmp_path / "out", "--report", report, "--ray"
    )
    assert code == 1 and "Restored 0 of 4" in printed
    assert len(complaints.splitlines()) == 4
    assert sorted(row.source for row in read(report)) == list(map(str, bad))
    assert all(row.error for row in read(report))
    assert not contents(tmp_path / "out")


def test_ray_is_for_folders(tmp_path):
    source = make(tmp_path / "in", 1)
    code, _, complaints = run(source / "0/0.png", tmp_path / "out.png", "--ray")
    assert code == 2 and "restores a folder" in complaints


def test_mistakes_are_told_before_a_cluster_is_joined(tmp_path):
    source = make(tmp_path / "in", 1)
    for options, sentence in {
        ("--ray", "127.0.0.1:1"): "Nobody answers at '127.0.0.1:1'",
        ("--ray", "--model", "none"): "There is no model 'none'",
        ("--ray", "--report", "a.txt"): "A report is a .csv or .parquet file",
    }.items():
        code, printed, complaints = run(source, tmp_path / "out", *options)
        assert code == 2 and not printed
        assert sentence in complaints and complaints.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_node_is_killed(forty, nodes, tmp_path):
    source, expected = forty
    nodes.start()
    nodes.start()
    out, report = tmp_path / "out", tmp_path / "report.csv"
    process = begin(source, out, "--ray", nodes.address, "--report", report)
    await_files(out, 12, process)
    nodes.kill(1)
    printed, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    assert "Restored 40 of 40" in printed
    rows = read(report)
    assert len({row.source for row in rows}) == len(rows) == 40
    assert not any(row.error for row in rows)
    assert {row.node for row in rows} == {"127.0.0.2", "127.0.0.3"}
    found = contents(out)
    hidden = {name for name in found if Path(name).name.startswith(PREFIX)}
    assert {n: found[n] for n in found.keys() - hidden} == expected
    assert len(hidden) <= 1  # What the killed process had begun.
    # The same command does what is missing, and nothing else.
    (out / "3" / "3.png").unlink()
    code, printed, complaints = run(
        source, out, "--ray", nodes.address, "--report", report
    )
    assert code == 0, complaints
    assert "Restored 1 of 1" in printed and "Left out 39" in printed
    assert [Path(row.source).name for row in read(report)] == ["3.png"]
    assert (out / "3" / "3.png").read_bytes() == expected["3/3.png"]


@pytest.mark.slow
def test_an_actor_is_killed(forty, tmp_path):
    source, expected = forty
    out = tmp_path / "out"
    process = begin(source, out, "--ray", "local")
    await_files(out, 5, process)
    (victim, *_) = actors(process.pid)
    os.kill(victim, signal.SIGKILL)
    printed, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    assert "Restored 40 of 40" in printed
    found = contents(out)
    assert expected.items() <= found.items()
    assert all(Path(n).name.startswith(PREFIX) for n in found.keys() - expected.keys())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interruption_ends_the_actors(forty, tmp_path, number, code):
    source, expected = forty
    out, report = tmp_path / "out", tmp_path / "report.csv"
    process = begin(source, out, "--ray", "local", "--report", report)
    await_files(out, 5, process)
    others = [pid for pid in members(process.pid) if pid != process.pid]
    assert others
    process.send_signal(number)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == code
    assert complaints.count("\n") == 1 and "What was written is complete" in complaints
    deadline = time.monotonic() + 30
    while left := [pid for pid in others if runs(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    found = contents(out)
    whole = {n for n in found if not Path(n).name.startswith(PREFIX)}
    assert {n: found[n] for n in whole}.items() < expected.items()
    assert len(read(report)) <= len(whole)


@pytest.mark.slow
def test_nodes_that_cannot_do_the_work(nodes, tmp_path):
    """One without the package; one that does not share the folder; and what GPUs do."""
    source = make(tmp_path / "in", 4)
    nodes.start(cwd=tmp_path)
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(
        "import sys\nsys.modules['xunit_keras'] = None\n"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    cases = {
        "cannot run xunit-keras": (tmp_path / "out", {"PYTHONPATH": str(blocked)}),
        "is not shared with": (Path("/proc/self/cwd/out"), {}),
    }
    for sentence, (out, environment) in cases.items():
        host = nodes.start(cwd=elsewhere, **environment)
        code, printed, complaints = run(
            source, out, "--ray", nodes.address, cwd=tmp_path
        )
        assert code == 2 and not printed
        assert sentence in complaints and host in complaints
        assert complaints.count("\n") == 1
        assert not [*tmp_path.glob("out/.*"), *elsewhere.glob("out/.*")]
        nodes.kill(-1)
        time.sleep(1)


@pytest.mark.slow
def test_a_cluster_that_asks_for_a_token(nodes, tmp_path):
    source = make(tmp_path / "in", 2)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 32}
    nodes.start(**token)
    for environment, expected in (({}, 2), (token, 0)):
        code, printed, complaints = run(
            *(source, tmp_path / "out", "--ray", nodes.address),
            env={**os.environ, **environment},
        )
        assert code == expected, complaints
        assert complaints.count("\n") == (1 if code else 0)
        assert ("cannot be joined" in complaints) == (code == 2)
        assert ("Restored 2 of 2" in printed) == (code == 0)


@pytest.mark.slow
def test_actors_ask_for_gpus_where_there_are_some(nodes, tmp_path):
    source = make(tmp_path / "in", 4)
    nodes.start()
    host = nodes.start("--num-gpus", "1")
    report = tmp_path / "report.csv"
    options = ("--ray", nodes.address, "--device", "auto", "--report", report)
    code, _, complaints = run(source, tmp_path / "out", *options)
    assert code == 0, complaints
    assert {row.node for row in read(report)} == {host}
