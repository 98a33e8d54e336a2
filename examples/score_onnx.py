"""Score images with an exported model: python score_onnx.py [--unsealed] MODEL.onnx IMAGE ...

The file's SHA-256 is checked first; --unsealed takes files from before they carried one. The score is the
map's largest value and the verdict is at a smallest region of one pixel, so a speck that padim passes over
may count; mask_onnx.py judges as padim does. For 8-bit RGB and grey images.
"""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before ONNX Runtime is loaded: nothing leaves the machine
import onnxruntime as ort


def prepared(path, meta):
    """The graph's inputs, where the image lies in its square (top, left, height, width), and its size."""
    image, size = ImageOps.exif_transpose(Image.open(path)), int(meta["input_size"])
    if image.mode not in ("RGB", "L") or image.has_transparency_data:
        sys.exit(f"{path}: is neither 8-bit RGB nor grey")
    # Stretched to a square, or made to fit into it and padded; halves round up.
    longest = image.size if meta["fit"] == "stretch" else [max(image.size)] * 2
    sides = zip(image.size, longest, strict=True)
    wide, high = (max(1, (2 * side * size + of) // (2 * of)) for side, of in sides)
    left, top = (size - wide) // 2, (size - high) // 2
    rgb, inside = np.full((1, size, size, 3), 127, np.uint8), np.zeros((1, size, size), np.float32)
    small = image.convert("RGB").resize((wide, high), Image.Resampling.BILINEAR)
    rgb[0, top : top + high, left : left + wide] = small
    inside[0, top : top + high, left : left + wide] = 1
    feed = {"rgb": rgb, "inside": inside} if meta["fit"] == "pad" else {"rgb": rgb}
    return feed, (top, left, high, wide), image.size


def checked(path, unsealed):
    """The file's bytes. The last 64 are the SHA-256 of the file with 64 zeros in their place."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        sys.exit(f"{path}: cannot be read ({error.strerror})")
    if content[-76:-64] == b"rJ\n\x06sha256\x12@":
        if hashlib.sha256(content[:-64] + b"0" * 64).hexdigest().encode() != content[-64:]:
            sys.exit(f"{path}: was altered after it was exported; copy or export it again")
    elif not unsealed:
        sys.exit(f"{path}: is cut short, damaged or has no SHA-256 yet (see --unsealed); export it again")
    return content


def opened(path, unsealed=False):
    """The session, made of the very bytes that were checked, and what the file says of itself."""
    content = checked(path, unsealed)
    # Numbers in a second file are found from the path only.
    source = path if b"data_sha256" in content or (unsealed and b".data" in content) else content
    try:
        session = ort.InferenceSession(source, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common type
        sys.exit(f"{path}: cannot be opened ({error}); export it again")
    meta = session.get_modelmeta().custom_metadata_map
    if "data_sha256" in meta:
        with Path(path).with_name(meta["data_file"]).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != meta["data_sha256"]:
                sys.exit(f"{file.name}: was altered after it was exported; copy or export it again")
    if "threshold_level" not in meta:
        sys.exit(f"{path}: has no threshold, so there are no verdicts")
    return session, meta, *(int(meta[key]) for key in ("threshold_level", "review_from", "review_to"))


if __name__ == "__main__":
    model, *images = (argument for argument in sys.argv[1:] if argument != "--unsealed")
    session, meta, threshold, low, high = opened(model, "--unsealed" in sys.argv)
    for path in images:
        feed, _, _ = prepared(path, meta)
        level = float(session.run(["score"], feed)[0][0])
        verdict = "review" if low <= level <= high else "reject" if level > threshold else "accept"
        score = float(meta["quantizer_offset"]) + float(meta["quantizer_step"]) * level
        print(f"{path}\t{score:.6g}\t{verdict}")
