"""The comparison with peers: protocol, arithmetic and check, with workers that need nothing installed."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import peers, peers_worker, report
from benchmarks.memory import MB, Peaks
from benchmarks.peers import Worker, WorkerError

# A contender that "takes" as many seconds as it is told, and keeps a diary of its requests.
FAKE = """
import json, sys
seconds, diary = float(sys.argv[1]), sys.argv[2]
print("a library's greeting", file=sys.stderr)
for line in sys.stdin:
    request = json.loads(line)
    with open(diary, "a") as file:
        file.write(f"{seconds} {request['do']} {request.get('images', '')}\\n")
    if request["do"] == "fail":
        print(json.dumps({"error": "ValueError: it was told to"}), flush=True)
    elif request["do"] == "die":
        print("the last words", file=sys.stderr)
        sys.exit(3)
    elif request["do"] == "babble":
        print("Downloading...", flush=True)
    else:
        print(json.dumps({"ok": True, "seconds": seconds}), flush=True)
"""


def fake(folder: Path, seconds: float) -> Worker:
    # A file each: written again, it would be empty for a moment to a process that starts.
    script = folder / f"fake-{seconds}.py"
    script.write_text(FAKE, encoding="utf-8")
    return Worker([sys.executable, str(script), str(seconds), str(folder / "diary")], dict(os.environ))


class Doubling:
    """A contender whose map is the red channel doubled."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def prepare(self, job: dict[str, Any]) -> None:
        self.calls.append("prepare")

    def fit(self, job: dict[str, Any]) -> dict[str, Any]:
        self.calls.append("fit")
        return {"images": 3, "saving_seconds": 1000.0}

    def keep(self, job: dict[str, Any]) -> dict[str, Any]:
        self.calls.append("keep")
        return {"threshold": 1.5}

    def export(self, job: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("no such thing")

    def open(self, job: dict[str, Any]) -> dict[str, Any]:
        return {"versions": {"numpy": np.__version__}}

    def score(self, rgb: peers_worker.RGB) -> peers_worker.ScoredBatch:
        maps = 2 * rgb[..., 0].astype(np.uint16)
        return peers_worker.ScoredBatch(maps, maps.max(axis=(1, 2)), maps > 100)

    def in_map_units(self, scored: peers_worker.ScoredBatch) -> tuple[Any, Any]:
        return scored.maps / 4.0, scored.scores / 4.0


def served(*requests: object) -> tuple[list[dict[str, Any]], int, Doubling]:
    contender, out = Doubling(), io.StringIO()
    lines = [r if isinstance(r, str) else json.dumps(r) for r in requests]
    code = peers_worker.serve(contender, lines, out)
    return [json.loads(line) for line in out.getvalue().splitlines()], code, contender


def test_worker_answers_line_by_line(tmp_path: Path) -> None:
    with fake(tmp_path, 0.25) as worker:
        assert worker.ask("score", images="a.npy")["seconds"] == 0.25
        assert worker.ask("open") == {"ok": True, "seconds": 0.25}
        assert worker.cpu_seconds() >= 0
    assert (tmp_path / "diary").read_text().split() == ["0.25", "score", "a.npy", "0.25", "open"]


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("fail", "fail: ValueError: it was told to\n.*greeting"),
        ("die", "ended during the request die:\n.*the last words"),
        ("babble", "not JSON: 'Downloading"),
    ],
)
def test_worker_that_fails_is_told_with_its_last_words(tmp_path: Path, verb: str, told: str) -> None:
    with fake(tmp_path, 1) as worker, pytest.raises(WorkerError, match=f"(?s){told}"):
        worker.ask(verb)


def test_worker_that_has_gone_is_an_error_not_a_hang(tmp_path: Path) -> None:
    with fake(tmp_path, 1) as worker:
        with pytest.raises(WorkerError):
            worker.ask("die")
        with pytest.raises(WorkerError, match="ended"):
            worker.ask("score")


def test_serving_goes_on_after_a_request_that_fails() -> None:
    answers, code, _ = served({"do": "export"}, {"do": "jump"}, "no json", {"do": "open"})
    assert [("error" in a) for a in answers] == [True, True, True, False]
    assert "RuntimeError: no such thing" in answers[0]["error"]
    assert "unknown request 'jump'" in answers[1]["error"]
    assert code == 0
    assert served({"do": "open"}, {"do": "export"})[1] == 1


def test_fit_is_timed_without_opening_keeping_and_their_checkpoint() -> None:
    answers, _, contender = served({"do": "fit"})
    assert contender.calls == ["prepare", "fit", "keep"]
    assert answers[0]["seconds"] < 0  # the thousand seconds said to be spent on a checkpoint were taken off
    assert answers[0]["images"] == 3
    assert answers[0]["threshold"] == 1.5


def test_judged_images_come_back_as_distances(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    np.save(tmp_path / "in.npy", rgb)
    answers, _, _ = served({"do": "score", "images": str(tmp_path / "in.npy"), "out": str(tmp_path)})
    assert answers[0]["seconds"] >= 0
    np.testing.assert_array_equal(np.load(tmp_path / "maps.npy"), rgb[..., 0] / 2)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), rgb[..., 0].max(axis=(1, 2)) / 2)
    np.testing.assert_array_equal(np.load(tmp_path / "masks.npy"), rgb[..., 0] > 50)


def test_planes_are_what_their_reader_gives() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (2, 5, 7, 3), np.uint8)
    planes = peers_worker.planes(rgb)
    assert planes.dtype == np.float32
    assert planes.flags.c_contiguous
    np.testing.assert_allclose(planes, rgb.transpose(0, 3, 1, 2) / 255, rtol=1e-6)


def test_turns_are_taken_on_the_same_file_and_everybody_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "PAUSE_S", 0)
    files = [tmp_path / "a.npy", tmp_path / "b.npy"]
    with fake(tmp_path, 1) as ours, fake(tmp_path, 2) as onnx, fake(tmp_path, 3) as torch:
        seconds = peers.take_turns({"ours": ours, "onnx": onnx, "torch": torch}, files, 6)
    assert seconds == {"ours": [1.0] * 6, "onnx": [2.0] * 6, "torch": [3.0] * 6}
    diary = [line.split() for line in (tmp_path / "diary").read_text().splitlines()][-18:]
    turns = [diary[i : i + 3] for i in range(0, 18, 3)]
    assert {turn[0][0] for turn in turns} == {"1.0", "2.0", "3.0"}
    for turn in turns:
        assert sorted(entry[0] for entry in turn) == ["1.0", "2.0", "3.0"]
        assert len({entry[2] for entry in turn}) == 1
    assert len({turn[0][2] for turn in turns}) == 2


def test_ratios_are_of_neighbours() -> None:
    # The machine was slow in two turns, for both: a ratio of medians would not know, and give 3 or 1.
    result = report.Report("peers")
    rows = peers.show_scores({"ours": [1, 10, 1, 10, 2], "onnx": [2, 20, 2, 20, 4]}, 1, result)
    assert result.values["onnx_by_ours_batch_1"] == 2
    assert result.values["onnx_ms_batch_1"] == 4000
    assert [row[1] for row in rows] == ["this project", "anomalib, ONNX"]


def test_what_others_use_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.psutil, "cpu_count", lambda: 4)
    # Ten seconds of four cores: twelve seconds of work, of which nine are the benchmark's.
    share = peers.others_share(peers.Usage(100, 1000, 50), peers.Usage(110, 1012, 59))
    assert share == pytest.approx(3 / 40)
    # The system's clocks tick coarsely: never less than nothing.
    assert peers.others_share(peers.Usage(0, 0, 0), peers.Usage(1, 1, 1.01)) == 0
    with fake(tmp_path, 1) as worker:
        before = peers.usage({"ours": worker})
        worker.ask("score")
        after = peers.usage({"ours": worker})
    assert after.clock > before.clock
    assert after.all_processes >= before.all_processes
    assert after.ours >= before.ours


def fits(ours_s: float, theirs_s: float, ours_mb: int, theirs_mb: int, images: int = 9) -> dict[str, Any]:
    def run(seconds: float, mb: int, count: int) -> Any:
        return (Peaks(mb * MB, 2 * mb * MB, True), {"seconds": seconds, "images": count}, seconds + 5)

    return {"ours": [run(ours_s, ours_mb, 9)], "torch": [run(theirs_s, theirs_mb, images)]}


def test_fit_values() -> None:
    result = report.Report("peers")
    peers.show_fits(fits(2, 14, 100, 400), result)
    assert result.values["fit_seconds_by_ours"] == 7
    assert result.values["fit_anonymous_share"] == 0.25
    assert result.values["fit_resident_share"] == 0.25
    assert result.values["fit_process_seconds_torch"] == 19


def test_fits_of_different_images_are_no_comparison() -> None:
    with pytest.raises(ValueError, match=r"different numbers of images: \[8, 9\]"):
        peers.show_fits(fits(2, 14, 100, 400, images=8), report.Report("peers"))


def test_agreement_notices_another_map() -> None:
    rng = np.random.default_rng(2)
    maps = rng.random((3, 8, 8))
    ours = peers.Answer(maps, maps.max(axis=(1, 2)), maps > 0.5)
    other = rng.random((3, 8, 8))
    result = report.Report("peers")
    peers.agree(
        {"ours": ours, "torch": ours, "onnx": peers.Answer(other, 1 - ours.scores, other > 0.5)}, result
    )
    assert result.values["torch_map_correlation"] == pytest.approx(1)
    assert result.values["torch_mask_overlap"] == 1
    assert result.values["onnx_map_correlation"] == pytest.approx(0, abs=0.3)
    assert result.values["onnx_score_correlation"] == pytest.approx(-1)


def test_check_fails_when_a_target_is_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peers, "make_venv", lambda folder: Path(sys.executable))
    monkeypatch.setattr(peers, "prepare_images", lambda *a: (tmp_path, np.zeros((16, 4, 4, 3), np.uint8)))

    def quick_fit(*arguments: Any) -> dict[str, Any]:
        peers.show_fits(fits(1, 7, 100, 400), arguments[5])
        return {}

    def measured(*arguments: Any) -> None:
        result = arguments[-1]
        result.values.update(
            openvino_by_ours_batch_1=1.4, onnx_by_ours_batch_1=2.1, torch_by_ours_batch_1=5.5
        )
        result.values.update(idle_cpu_share=0.0)

    def alike(*arguments: Any) -> None:
        arguments[-1].values["one_layer_difference"] = 0.0001

    monkeypatch.setattr(peers, "fit", quick_fit)
    monkeypatch.setattr(peers, "score", measured)
    monkeypatch.setattr(peers, "same", alike)
    assert peers.main(["--check", "--json"]) == 0
    assert peers.main(["--check", "--target", "openvino_by_ours_batch_1=1.5"]) == 1
    assert peers.main(["--check", "--target", "fit_seconds_by_ours=8"]) == 1
    monkeypatch.setattr(peers, "same", lambda *a: None)  # not measured is missed
    assert peers.main(["--check"]) == 1


def test_venv_is_made_once_and_never_over_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []
    folder = tmp_path / "venv"

    def run(command: list[str], check: bool) -> None:
        calls.append(command)
        if "venv" in command:
            python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            python.parent.mkdir(parents=True)
            python.touch()
            (folder / "pyvenv.cfg").touch()
        elif len(calls) == 2:
            raise OSError("no space left on device")

    monkeypatch.setattr(peers.subprocess, "run", run)
    with pytest.raises(OSError, match="no space"):
        peers.make_venv(folder)
    python = peers.make_venv(folder)  # taken up again: pip only
    assert [("venv" in c, "pip" in c) for c in calls] == [(True, False), (False, True), (False, True)]
    assert peers.make_venv(folder) == python
    assert len(calls) == 3

    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").touch()
    with pytest.raises(ValueError, match="neither empty nor a Python environment"):
        peers.make_venv(tmp_path / "letters")


def test_the_requirements_are_pinned() -> None:
    lines = [line for line in peers.REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    assert {line.partition("==")[0] for line in lines} >= {
        "anomalib",
        "openvino",
        "onnxruntime",
        "timm",
        "torch",
    }
    assert all("==" in line for line in lines)


def test_an_answer_is_all_that_a_worker_prints(tmp_path: Path) -> None:
    # The real worker: what a library prints must not be taken for an answer.
    site = peers.Site(Path(sys.executable), 1, tmp_path / "none.pth")
    with site.start("ours") as worker, pytest.raises(WorkerError, match="unknown request 'greet'"):
        worker.ask("greet")
    with pytest.raises(RuntimeError, match="unknown request 'greet'"):
        site.watched("ours", {"do": "greet"})
    assert "PEERS_THREADS" not in os.environ


def test_folded_weights_become_biases() -> None:
    torch = pytest.importorskip("torch")
    from torch import nn

    network = nn.Sequential()
    network.conv1, network.bn1 = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
    weight, bias = torch.randn(4, 3, 3, 3), torch.randn(4)
    own = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
    network.load_state_dict(
        peers_worker.unfolded(own, {"conv1.weight": weight, "conv1.bias": bias}), strict=False
    )
    image = torch.randn(2, 3, 9, 9)
    expected = nn.functional.conv2d(image, weight, bias)
    torch.testing.assert_close(network.eval()(image), expected)
    with pytest.raises(ValueError, match=r"lacks: conv9\.weight"):
        peers_worker.unfolded(own, {"conv9.weight": weight})


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 5, 3))
    renamed = {f"x{i}": v + 1 for i, v in enumerate(network.state_dict().values())}
    torch.save(renamed, tmp_path / "same.pth")
    peers_worker.load_weights(network, tmp_path / "same.pth")
    torch.testing.assert_close(network.state_dict()["0.weight"], renamed["x0"])
    torch.save(dict(list(renamed.items())[:2]), tmp_path / "short.pth")
    with pytest.raises(ValueError, match=r"short\.pth does not hold the weights of this network"):
        peers_worker.load_weights(network, tmp_path / "short.pth")


def test_arguments_are_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        peers.main(["--backbone", "resnet9000"])
    assert "resnet18" in capsys.readouterr().err
