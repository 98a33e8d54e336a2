"""Kill the service at random moments while clients send images, and look for what was lost or is there twice.

    python benchmarks/serve_kills.py --check             # 50 kills
    python benchmarks/serve_kills.py --kills 5

Clients send images, each with an idempotency key, by :class:`padim.service.client.ServiceClient`, which sends
again what was not answered. The service is killed (SIGKILL) a random time after it has begun to answer, and
started again on the same port. In the end every image that was answered is on record once, with the verdict
and the files that it should have, and nothing else is. A process that has imported everything forks each
service, as imports would take longest.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqlalchemy import select

from benchmarks import report
from benchmarks.service_process import PART_NUMBER, make_workspace
from padim import PadimConfig
from padim.records.database import RecordsDatabase
from padim.records.evidence import EvidenceFiles
from padim.records.schema import EVIDENCE, INSPECTIONS
from padim.service.client import ServiceClient, ServiceError
from padim.service.rest.server import RunningService, ServiceOptions
from tests.parts import part, png

CONFIG = PadimConfig(input_size=64, grid_stride=8, n_features=20, smoothing_sigma=2, min_area=8)
CLIENTS = 3
# Seconds after the first answer, at most, at which a service is killed.
LONGEST = 0.6


def fork_services(root: Path, port: int) -> None:
    """Fork a service for every line on stdin, and write its process id; ends with the input."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        process = os.fork()
        if process == 0:
            os.close(0)
            RunningService(ServiceOptions(root, port=port, sinks=False)).run()
            os._exit(0)
        print(process, flush=True)


@dataclass
class Sent:
    """What clients have sent, and which answers came."""

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def send(self, url: str, place: int) -> None:
        """Send images, no two alike, until told to stop."""
        number = 0
        with ServiceClient(url, timeout=20, patience=120, sleep=lambda _: time.sleep(0.02)) as client:
            while not self.stopping.is_set():
                key = uuid.uuid4().hex
                content = png(part(place * 100_000 + number, defect=number % 3 == 0))
                number += 1
                self.begun.add(key)
                try:
                    found = client.inspect(
                        content, name=f"{place}-{number}.png", idempotency_key=key, part_number=PART_NUMBER
                    )
                except ServiceError as error:
                    self.errors.append(f"{error.kind}: {error}")
                else:
                    self.answers[key] = dict(found.document)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def faults_of(root: Path, sent: Sent) -> list[str]:
    """Compare the records with what was answered."""
    files = EvidenceFiles(root)
    with RecordsDatabase(root).reading() as connection:
        assert connection is not None
        rows = {row["uid"]: row for row in connection.execute(select(INSPECTIONS)).mappings()}
        kept = {row["inspection_id"]: row for row in connection.execute(select(EVIDENCE)).mappings()}
    found = [f"{uid}: was answered and is not on record" for uid in sent.answers.keys() - rows.keys()]
    found += [f"{uid}: is on record and was never sent" for uid in rows.keys() - sent.begun]
    images = Counter(row["sha256"] for row in rows.values())
    found += [f"{sha256}: is on record {times} times" for sha256, times in images.items() if times > 1]
    for uid, row in rows.items():
        evidence = kept.get(row["id"])
        if evidence is None or evidence["thumbnail"] is None:
            found.append(f"{uid}: has no evidence")
            continue
        if evidence["map_bytes"] is not None and files.read_map(uid) is None:
            found.append(f"{uid}: its level map is not there")
        folder = evidence["original_folder"]
        if evidence["original_bytes"] is not None and not files.has_original(row["sha256"], folder):
            found.append(f"{uid}: its image is not there")
        answer = sent.answers.get(uid)
        if answer is not None and (answer["verdict"], answer["score_level"]) != (
            row["verdict"],
            row["score_level"],
        ):
            found.append(f"{uid}: was answered otherwise than it is on record")
    return found


def run(root: Path, kills: int, seed: int) -> tuple[Sent, list[str]]:
    """Kill as often, and return what was sent and the faults."""
    make_workspace(root, CONFIG)
    port, draw, sent = free_port(), random.Random(seed), Sent()
    nursery = subprocess.Popen(
        [sys.executable, __file__, "--fork", str(root), str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    clients = [
        threading.Thread(target=sent.send, args=(f"http://127.0.0.1:{port}", place))
        for place in range(CLIENTS)
    ]
    try:
        for number in range(kills + 1):
            nursery.stdin.write("start\n")
            nursery.stdin.flush()
            process = int(nursery.stdout.readline())
            if number == 0:
                for client in clients:
                    client.start()
            answered = len(sent.answers)
            while len(sent.answers) <= answered and not sent.errors:
                time.sleep(0.005)
            if number < kills:
                time.sleep(draw.uniform(0, LONGEST))
                os.kill(process, signal.SIGKILL)
        sent.stopping.set()
        for client in clients:
            client.join()
        os.kill(process, signal.SIGTERM)
    finally:
        sent.stopping.set()
        nursery.stdin.close()
        nursery.wait()
        nursery.stdout.close()
    return sent, [*faults_of(root, sent), *sent.errors]


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--fork", nargs=2, metavar=("ROOT", "PORT"), help=argparse.SUPPRESS)
    report.add_arguments(parser)
    args = parser.parse_args(arguments)
    if args.fork:
        fork_services(Path(args.fork[0]), int(args.fork[1]))
        return 0
    result = report.Report("serve_kills")
    result.target("faults", "<=", 0)
    report.run(parser, result, args)
    with tempfile.TemporaryDirectory(prefix="padim-serve-kills-") as folder:
        sent, faults = run(Path(folder), args.kills, args.seed)
    for fault in faults[:10]:
        result.note(fault)
    result.values.update(faults=len(faults), answered=len(sent.answers))
    result.details.update(faults=faults, answered=len(sent.answers), kills=args.kills)
    result.show(
        "Kills of the service",
        ["kills", "answered", "faults"],
        [[args.kills, len(sent.answers), len(faults)]],
    )
    return result.finish(args)


if __name__ == "__main__":
    sys.exit(main())
