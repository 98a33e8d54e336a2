"""Measure what damaged JPEGs among the good parts do to a threshold, and how many of them are refused.

Good parts are saved as JPEG, some are damaged, and a model is fitted on all of them, as it would be without
the check of ``padim/data/jpeg_check.py`` and with it. Then every good part is damaged in many ways, and the
refused copies are counted.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from unittest.mock import patch

from PIL import Image

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import images, report
from padim import Padim, PadimConfig
from padim.data import jpeg_check
from padim.data.decode import decode
from padim.data.sources import FolderSource
from padim.errors import ImageError

END = b"\xff\xd9"
NORMALS, DAMAGED = 25, 5
LOST_BYTES = 2048

Named = list[tuple[str, bytes]]


def jpegs(folder: Path | None, count: int) -> Named:
    """Return the first good parts of a folder as JPEGs, or as many generated ones."""
    if folder is None:
        return [(f"{i:03d}.jpg", images.jpeg(images.image(i, side=256))) for i in range(count)]
    found: Named = []
    for name, data in FolderSource(folder):
        buffer = BytesIO()
        Image.fromarray(decode(data, name)).save(buffer, "JPEG", quality=90)
        found.append((f"{Path(name).stem}.jpg", buffer.getvalue()))
        if len(found) == count:
            break
    return found


def compressed(data: bytes) -> int:
    """Return where the compressed data of a JPEG that this file has made begin."""
    at = data.index(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def cut_and_closed(data: bytes, chance: random.Random) -> bytes:
    start = compressed(data)
    return data[: chance.randrange(start, len(data) - 2 - (len(data) - start) // 10)] + END


def lost(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(compressed(data), len(data) - 2 - LOST_BYTES)
    return data[:at] + data[at + LOST_BYTES :]


def zeroed(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(compressed(data), len(data) - 2 - LOST_BYTES)
    return data[:at] + bytes(LOST_BYTES) + data[at + LOST_BYTES :]


def flipped(data: bytes, chance: random.Random) -> bytes:
    bit = chance.randrange(8 * compressed(data), 8 * (len(data) - 2))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut and closed": cut_and_closed,
    "2 kB lost": lost,
    "2 kB zeroed": zeroed,
    "one bit flipped": flipped,
}


def variants(data: bytes) -> Iterator[bytes]:
    """Yield sound files with the same pixels, or other codings of them."""
    yield data
    yield data + bytes(1000)
    start = data.index(b"\xff\xdb")
    yield data[:start] + b"\0\0\0" + data[start:]
    image = Image.open(BytesIO(data))
    for options in (
        {"progressive": True},
        {"optimize": True},
        {"restart_marker_rows": 1},
        {"subsampling": 0},
    ):
        buffer = BytesIO()
        image.save(buffer, "JPEG", **options)
        yield buffer.getvalue()


def refused(data: bytes) -> bool:
    try:
        decode(data, "a")
    except ImageError:
        return True
    return False


def thresholds(files: Named, config: PadimConfig, seed: int) -> dict[str, tuple[int, float]]:
    """Return the number of images used and the threshold: of sound ones, then of damaged among them."""
    chance = random.Random(seed)
    hurt = set(chance.sample(range(len(files)), min(DAMAGED, len(files))))
    mixed = [
        (name, cut_and_closed(data, chance) if i in hurt else data) for i, (name, data) in enumerate(files)
    ]

    def fitted(named: Named) -> tuple[int, float]:
        model = Padim(config).fit(named, on_error=lambda error: None)
        return len(model.normals_), model.threshold_

    with patch.object(jpeg_check, "is_damaged", lambda data: False):
        unchecked = fitted(mixed)
    return {"sound": fitted(files), "unchecked": unchecked, "checked": fitted(mixed)}


def ratio(files: Named) -> float:
    """Return the time of the check as a share of Pillow's decoding, the median over the files."""
    shares = []
    for _, data in files:
        times = [0.0, 0.0]
        for _ in range(3):
            started = time.perf_counter()
            jpeg_check.is_damaged(data)
            middle = time.perf_counter()
            Image.open(BytesIO(data)).load()
            times[0] += middle - started
            times[1] += time.perf_counter() - middle
        shares.append(times[0] / times[1])
    return statistics.median(shares)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    report.add_arguments(parser)
    parser.add_argument("--data", type=Path, help="a category's folder; default: generated")
    parser.add_argument("--times", type=int, default=10, help="damaged copies of each kind and part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", type=Path, help="a configuration file; default: the standard one")
    args = parser.parse_args(argv)
    result = report.Report("damaged_jpegs")
    result.target("sound_refused", "<=", 0)
    result.target("cuts_missed", "<=", 0)
    result.target("lost_refused", ">=", 0.97)
    result.target("threshold_change", "<=", 0.25)
    report.run(parser, result, args)

    folder = None if args.data is None else args.data / "train" / "good"
    files = jpegs(folder, NORMALS)
    config = PadimConfig() if args.config is None else PadimConfig.load(args.config)

    found = thresholds(files, config, args.seed)
    rows = [(name, number, f"{threshold:.4g}") for name, (number, threshold) in found.items()]
    result.show(f"{DAMAGED} of {len(files)} good parts damaged", ("fit", "images", "threshold"), rows)

    chance = random.Random(args.seed)
    shares: dict[str, float] = {}
    counts: list[tuple[object, ...]] = []
    for name, damage in DAMAGES.items():
        told = [refused(damage(data, chance)) for _, data in files for _ in range(args.times)]
        shares[name] = sum(told) / len(told)
        counts.append((name, len(told), sum(told), f"{100 * shares[name]:.1f} %"))
    sound = [refused(variant) for _, data in files for variant in variants(data)]
    counts.append(("sound", len(sound), sum(sound), f"{100 * sum(sound) / len(sound):.1f} %"))
    result.show("Refused", ("files", "number", "refused", "share"), counts)

    result.values = {
        "sound_refused": float(sum(sound)),
        "cuts_missed": len(files) * args.times * (1 - shares["cut and closed"]),
        "lost_refused": min(shares["2 kB lost"], shares["2 kB zeroed"]),
        "flips_refused": shares["one bit flipped"],
        "threshold_change": abs(found["checked"][1] / found["sound"][1] - 1),
        "threshold_change_unchecked": abs(found["unchecked"][1] / found["sound"][1] - 1),
        "time_ratio": ratio(files),
    }
    return result.finish(args)


if __name__ == "__main__":
    report.utf8_output()
    sys.exit(main())
