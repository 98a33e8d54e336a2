"""Check that damage to any file of a model, a flipped bit or a lost end, is detected when the file is used.

For every file of a saved model, of its working folder, of a checkpoint, of stopped fits and trainings, and of
an exported model, copies are damaged in one place each, by a seeded random choice, and then used normally.
The result must be the same model, bit for bit, or an error that names the file.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import images, report
from padim import Padim, PadimConfig
from padim.errors import Cancelled, PadimError

CONFIG = PadimConfig(input_size=64, grid_stride=8, n_features=20, smoothing_sigma=2, min_area=8)
NORMALS = 20
# Kinds of damage, applied to a file in turn.
KINDS = ("one bit", "cut short", "tail of zeros")


@dataclass(frozen=True)
class Case:
    """A set of files to damage, and how they are used.

    Attributes:
        name: its name in the table.
        folder: the undamaged files.
        use: uses a copy of the folder and returns the result as bytes; it may change the copy.
        files: a glob pattern of the files to damage.
    """

    name: str
    folder: Path
    use: Callable[[Path], bytes]
    files: str = "**/*"


def fingerprint(model: Padim) -> bytes:
    """Return a hash of everything that a model stores and computes."""
    digest = hashlib.sha256()
    threshold = model.current_threshold
    facts: list[Any] = [normal.to_json() for normal in model.normals_]
    facts += [
        model.state.fitted.calibration,
        asdict(model.state.fitted.quantizer),
        asdict(threshold) if threshold else None,
    ]
    digest.update(json.dumps([*facts, model.config.model_dump(mode="json")]).encode())
    arrays = [
        model.state.fitted.held_out,
        model.state.channels,
        *model.state.fitted.detector.files().values(),
    ]
    for array in arrays:
        digest.update(array if isinstance(array, bytes) else array.tobytes())
    for index in range(len(model.normals_)):
        digest.update(model.working_set.thumbnail(index))
    q, scores = model.state.score_arrays(images.image(900, side=64, defect=True)[None], model.config.min_area)
    digest.update(q.tobytes() + repr(scores).encode())
    return digest.digest()


def cases(folder: Path) -> list[Case]:
    """Create in ``folder`` all kinds of files that the program stores, and return them as cases."""
    parts = [(f"part {i}", images.image(i, side=64)) for i in range(NORMALS)]
    more = [(f"new {i}", images.image(100 + i, side=64)) for i in range(2)]
    model = Padim(CONFIG, work_dir=folder / "work").fit(parts)
    bundle = model.save(folder / "bundle")
    saved = folder / "continued"

    def opened(place: Path) -> bytes:
        return fingerprint(Padim.load(place))

    def changed(place: Path) -> bytes:
        """Exclude a part, add parts, save the model and load it again."""
        changed = Padim.load(bundle, work_dir=place).exclude(3, "not_good").partial_fit(more)
        return fingerprint(Padim.load(changed.save(saved)))

    def continued(place: Path) -> bytes:
        changed = Padim.load(folder / place.with_suffix("").name, work_dir=place).partial_fit(more)
        return fingerprint(Padim.load(changed.save(saved)))

    def resumed(place: Path) -> bytes:
        return fingerprint(Padim(CONFIG, work_dir=place / "work").fit(parts, unfinished=place))

    found = [Case("saved model", bundle, opened), Case("working files", folder / "work", changed)]
    for name, channels in (("features", 20), ("statistics", 6)):
        config = CONFIG.model_copy(update={"n_features": channels})
        place = folder / f"{name}.work"
        kept = Padim(config, work_dir=place).fit(parts)
        kept.working_set.delete()
        kept.save(folder / name)
        found.append(Case(f"checkpoint of {name}", place, continued))
    calls = iter(range(1000))
    with contextlib.suppress(Cancelled):  # stopped after the first batch
        Padim(CONFIG).fit(parts, unfinished=folder / "stopped", cancel=lambda: next(calls) > 18)
    found.append(Case("fit that was stopped", folder / "stopped", resumed))
    return [*found, training(folder), scorer(folder, model)]


def training(folder: Path) -> Case:
    """Create the case of a training that was stopped in its third epoch."""
    import numpy as np
    import torch
    from torch import nn

    from padim.data.loading import Watch
    from padim.methods import training

    x = torch.from_numpy(np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32))
    plan = training.TrainingPlan(epochs=5, patience=5, rate=0.02)

    def run(place: Path, watch: Watch) -> bytes:
        module = nn.Linear(4, 4)
        turn = training.Turn("all parts", range(32), seed=1, watch=watch, folder=place, key="key")
        training.initialize(module, turn.seed)
        losses = training.train(
            module,
            turn,
            plan,
            batches=lambda rng: [rng.permutation(32)[:16] for _ in range(2)],
            loss=lambda rows: ((module(x[rows]) - x[rows].flip(1)) ** 2).mean(),
            threads=1,
        )
        state = b"".join(value.numpy().tobytes() for value in module.state_dict().values())
        return state + repr(losses).encode()

    calls = iter(range(1000))
    former, training.SECONDS_BETWEEN_SAVES = training.SECONDS_BETWEEN_SAVES, 0.0
    try:
        with contextlib.suppress(Cancelled):
            run(folder / "training", Watch(cancel=lambda: next(calls) > 8))
    finally:
        training.SECONDS_BETWEEN_SAVES = former
    return Case("training that was stopped", folder / "training", lambda place: run(place, Watch()))


def scorer(folder: Path, model: Padim) -> Case:
    """Create the case of an exported model, checked by the engine and by the example script for its users."""
    from padim.output import scorer_seal
    from padim.output.export import export_onnx

    place = Path(__file__).resolve().parent.parent / "examples" / "score_onnx.py"
    spec = importlib.util.spec_from_file_location("score_onnx", place)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)

    def verified(place: Path) -> bytes:
        path = place / "scorer.onnx"
        refused = []
        try:
            scorer_seal.verify(path)
        except PadimError as error:
            refused.append(error)
        try:
            content = example.checked(str(path), False)
        except SystemExit as error:
            refused.append(PadimError(str(error)))
        if len(refused) == 1:
            raise RuntimeError(f"only one of engine and example refuses the file: {refused[0]}")
        if refused:
            raise refused[0]
        return bytes(content)

    (folder / "scorer").mkdir()
    export_onnx(model, folder / "scorer" / "scorer.onnx")
    return Case("exported scorer", folder / "scorer", verified)


def damage(path: Path, kind: str, rng: random.Random) -> str:
    """Damage a file in one place, and return a description of the damage."""
    content = bytearray(path.read_bytes())
    if kind == "one bit":
        bit = rng.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        where = f"bit {bit} flipped"
    else:
        lost = rng.randrange(1, min(len(content), 5000) + 1)
        content[-lost:] = b"" if kind == "cut short" else bytes(lost)
        where = f"{lost} bytes {'cut off' if kind == 'cut short' else 'zeroed'} at the end"
    path.write_bytes(content)
    return where


def try_out(case: Case, times: int, rng: random.Random, at: Path) -> tuple[Counter[str], list[str]]:
    """Damage every file of a case ``times`` times, in copies below ``at``, and use the copies.

    Returns:
        The number of outcomes ``named`` (an error that names the file), ``same`` (the same model), ``silent``
        (another model) and ``crashed`` (another error); and descriptions of the last two.
    """
    at.mkdir(parents=True, exist_ok=True)
    place = at / case.folder.name

    def fresh() -> Path:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(case.folder, place)
        return place

    expected = case.use(fresh())
    if case.use(fresh()) != expected:
        raise RuntimeError(f"{case.name}: undamaged copies give different results, so it cannot be tested")
    counts: Counter[str] = Counter()
    bad: list[str] = []
    files = sorted(path.relative_to(case.folder) for path in case.folder.glob(case.files) if path.is_file())
    for file in files:
        if not (case.folder / file).stat().st_size:
            continue
        for number in range(times):
            path = fresh() / file
            before = path.read_bytes()
            where = damage(path, KINDS[number % len(KINDS)], rng)
            if path.read_bytes() == before:
                continue
            try:
                outcome = "same" if case.use(place) == expected else "silent"
            except PadimError:
                outcome = "named"
            except Exception as error:  # any other error is an outcome to count
                outcome = "crashed"
                where += f", {type(error).__name__}: {error}"
            counts[outcome] += 1
            if outcome in ("silent", "crashed"):
                bad.append(f"{case.name}, {file}: {where}: {outcome}")
    return counts, bad


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    report.add_arguments(parser)
    parser.add_argument("--times", type=int, default=40, help="number of damaged copies of each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="NAME", help="run only cases whose name contains this")
    args = parser.parse_args(argv)
    result = report.Report("bit_flips")
    result.target("silent", "<=", 0)
    result.target("crashed", "<=", 0)
    report.run(parser, result, args)

    rows, total, bad = [], Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder)):
            if args.only and args.only not in case.name:
                continue
            counts, found = try_out(case, args.times, random.Random(args.seed), Path(folder) / "copies")
            rows.append((case.name, *(counts[key] for key in ("named", "same", "silent", "crashed"))))
            total += counts
            bad += found
    result.show("Damaged copies", ("files", "named", "same model", "another model", "crashed"), rows)
    for line in bad[:50]:
        print(line)
    result.values = {key: float(total[key]) for key in ("named", "same", "silent", "crashed")}
    result.details["bad"] = bad
    return result.finish(args)


if __name__ == "__main__":
    report.utf8_output()
    sys.exit(main())
