"""The service under load: clients that send as fast as it answers, against the scorer alone in the same run.

    python benchmarks/serve_load.py --check
    python benchmarks/serve_load.py --seconds 10 --clients 4

Rounds of the service under load and of ``Padim.predict`` over the same image files take turns, so that
another program on the machine slows down both. The service does more than the scorer: it receives the files,
makes thumbnails, records every result before it answers, and keeps the level maps and files of the rejected.
The clients run on the same cores.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

from benchmarks import report
from benchmarks.service_process import PART_NUMBER, ServiceProcess, form, make_workspace
from padim import Padim, PadimConfig, Workspace
from padim.records.inspections import InspectionRecords
from tests.parts import part

SIDE = (960, 1280)
ROUNDS = 6


def images(number: int) -> list[tuple[str, bytes]]:
    """JPEG files of about one megapixel, one in eight with a defect."""
    found = []
    for index in range(number):
        rgb = part(1000 + index, size=SIDE, defect=index % 8 == 0)
        done, content = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        assert done
        found.append((f"part_{index:03d}.jpg", content.tobytes()))
    return found


def scored_alone(model: Padim, files: list[tuple[str, bytes]], seconds: float) -> float:
    """Return the images a second of the scorer alone."""
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        done += sum(1 for _ in model.predict(files))
    return done / (time.perf_counter() - began)


class Clients:
    """Threads that send the same files over and over, each over a connection of its own."""

    def __init__(self, port: int, files: list[tuple[str, bytes]], number: int) -> None:
        self._port, self._number = port, number
        self._bodies = [form(content, name, part_number=PART_NUMBER) for name, content in files]
        self.seconds: list[float] = []
        self.errors: list[str] = []

    def run(self, seconds: float) -> float:
        """Send for so long and return the images a second."""
        before, began = len(self.seconds), time.perf_counter()
        threads = [
            threading.Thread(target=self._send, args=(index, began + seconds))
            for index in range(self._number)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (len(self.seconds) - before) / (time.perf_counter() - began)

    def _send(self, place: int, end: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        step = 0
        while time.perf_counter() < end:
            body, kind = self._bodies[(place * 7 + step) % len(self._bodies)]
            step += 1
            began = time.perf_counter()
            try:
                connection.request("POST", "/v1/inspections", body, {"Content-Type": kind})
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                connection.close()
                continue
            if answer.status == 201:
                self.seconds.append(time.perf_counter() - began)
            else:
                self.errors.append(text.decode(errors="replace")[:300])
        connection.close()


def main() -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="of load, in six rounds")
    parser.add_argument("--clients", type=int, default=8)
    report.add_arguments(parser)
    args = parser.parse_args()
    result = report.Report("serve_load")
    result.target("ratio", ">=", 0.8)
    result.target("errors", "<=", 0)
    result.target("not_recorded", "<=", 0)
    report.run(parser, result, args)
    with tempfile.TemporaryDirectory(prefix="padim-serve-load-") as folder:
        root = Path(folder)
        model_id = make_workspace(root, PadimConfig(input_size=256), parts=24, side=(240, 320))
        model = Workspace(root).open(model_id)
        files = images(32)
        service = ServiceProcess(root, [model_id, "--quiet", "--images-per-minute", "0"])
        try:
            clients = Clients(service.port, files, args.clients)
            clients.run(1)
            scored_alone(model, files, 0.5)
            warm = len(clients.seconds)
            clients.seconds.clear()
            alone, served = [], []
            for _ in range(ROUNDS):
                alone.append(scored_alone(model, files, args.seconds / ROUNDS))
                served.append(clients.run(args.seconds / ROUNDS))
            code = service.stop()
        finally:
            service.close()
        sent = len(clients.seconds) + warm
        recorded = InspectionRecords(root).count()
    times = np.array(clients.seconds)
    ratios = [one / other for one, other in zip(served, alone, strict=True)]
    ratio = float(np.mean(served) / np.mean(alone))
    result.show(
        f"{args.clients} clients for {args.seconds:g} s, 1280 × 960 JPEG, 256 px",
        ["", "images/s", "median ms", "p95 ms", "p99 ms", "longest ms"],
        [
            ["Padim.predict", f"{np.mean(alone):.1f}", "", "", "", ""],
            [
                "padim serve",
                f"{np.mean(served):.1f}",
                *(f"{np.quantile(times, q) * 1000:.0f}" for q in (0.5, 0.95, 0.99, 1)),
            ],
        ],
    )
    result.note(f"ratio {ratio:.2f}, by rounds {', '.join(f'{one:.2f}' for one in ratios)}")
    result.note(f"{sent:,} answered, {recorded:,} on record, {len(clients.errors)} errors, exit code {code}")
    for error in clients.errors[:3]:
        result.note(error)
    result.values.update(
        ratio=ratio,
        median_ratio=median(ratios),
        errors=len(clients.errors),
        not_recorded=sent - recorded,
        images_per_second=float(np.mean(served)),
        p99_ms=float(np.quantile(times, 0.99) * 1000),
    )
    return result.finish(args)


if __name__ == "__main__":
    sys.exit(main())
