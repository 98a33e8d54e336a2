"""Score images with an exported model: python score_onnx.py [--unsealed] MODEL.onnx IMAGE ...

The file's SHA-256 is checked first; --unsealed accepts files of early versions, which have none. The score is
the map's largest level, so a single pixel above the threshold rejects an image; mask_onnx.py applies the
model's smallest region, as padim does.

For 8-bit RGB and grey images of one page, and 16-bit grey ones if the model was fitted on such files. One
line an image: its path, score and verdict. A file that cannot be used has the score nan, the verdict
"unreadable" and the reason; the others are scored all the same, and the exit code is 2. It is 1 if the model
cannot be used, else 0.
"""

import hashlib
import os
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # set before ONNX Runtime is imported, so that it sends nothing
import onnxruntime as ort

try:
    import simplejpeg  # where it is installed, JPEGs that lost data are refused: Pillow fills them with grey
except ImportError:
    simplejpeg = None

LOST = re.compile("[Pp]remature end|bad Huffman code|bad arithmetic code|found marker 0x")
FORMATS = ("PNG", "JPEG", "MPO", "BMP", "TIFF", "WEBP")


class Unusable(Exception):
    """An image that is not scored, with the reason."""


def decoded(path, depth):
    """Return an image, upright, in RGB; raise Unusable for one that padim would refuse or read otherwise.

    Of 16-bit values, the upper 8 of the model's bits are used; one above them is refused. Unlike padim, this
    does not look for another depth in a PNG's sBIT.
    """
    try:
        with Image.open(path) as image:
            # The first page alone would accept the others unseen. Extra views in a phone's JPEG do not count.
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                raise Unusable("is an animation or has several pages; score each as a file of its own")
            views = getattr(image, "mpinfo", None) or {}
            if any("Multi-Frame" in str(view["Attribute"]["MPType"]) for view in views.get(0xB002, ())):
                raise Unusable("holds several views, as of a stereo pair; score each as a file of its own")
            if image.format not in FORMATS:
                raise Unusable(
                    f"is {image.format}, and this script reads {', '.join(FORMATS)}; convert it first"
                )
            if image.format in ("JPEG", "MPO"):
                image.load()
                check_jpeg(Path(path).read_bytes())
            if depth > 8 and image.mode.startswith("I;16") and not image.has_transparency_data:
                return eight_bits(image, depth)
            # Pillow opens 16-bit RGB as 8-bit RGB without a word; what the decoder reads tells it.
            if image.mode not in ("RGB", "L") or image.has_transparency_data or ";16" in str(image.tile):
                raise Unusable("is neither 8-bit RGB nor grey; convert it first")
            return ImageOps.exif_transpose(image).convert("RGB")
    except Unusable:
        raise
    except Exception as error:  # Pillow raises errors of many types for damaged files
        raise Unusable(f"cannot be read, is damaged or cut short ({error})".replace("\n", " ")) from error


def check_jpeg(content):
    """Raise Unusable for most JPEGs that lost data, if simplejpeg is there to tell; padim finds some more."""
    try:
        if simplejpeg:
            simplejpeg.decode_jpeg(content, "GRAY", min_height=1, min_width=1, strict=True)
    except Exception as error:  # also for kinds that simplejpeg cannot decode, and harmless faults
        if LOST.search(str(error)):
            raise Unusable(f"is a damaged JPEG, parts of its data are missing ({error})") from error


def eight_bits(image, depth):
    """Return a 16-bit grey image, upright, in RGB: the upper 8 of so many bits."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF: white is zero, other bits, a smaller range
    if tags.get(262) == 0 or tags.get(258, (16,)) != (16,) or 281 in tags or 341 in tags:
        raise Unusable("is an unusual 16-bit TIFF; convert it first")
    values = np.asarray(ImageOps.exif_transpose(image))
    if values.max() >> depth:
        raise Unusable(f"has values up to {values.max()}, above the {depth} bits of the model")
    return Image.fromarray((values >> (depth - 8)).astype(np.uint8)).convert("RGB")


def prepared(path, meta):
    """Return the graph's inputs, the image's area in the input (top, left, height, width), and its size."""
    # Older files do not say the depth; 8 bits were the only one. Nor both sides; all were squares.
    image = decoded(path, int(meta.get("bit_depth", "8")))
    high, wide = (int(meta.get(side) or meta["input_size"]) for side in ("input_height", "input_width"))
    rgb, inside = np.full((1, high, wide, 3), 127, np.uint8), np.zeros((1, high, wide), np.float32)
    # Stretched to the whole input, or resized to fit into it and padded; halves are rounded up.
    (across, down), top, left = image.size, 0, 0
    if meta["fit"] == "pad" and down * wide >= across * high:
        whole, wide = wide, max(1, (2 * across * high + down) // (2 * down))
        left = (whole - wide) // 2
    elif meta["fit"] == "pad":
        whole, high = high, max(1, (2 * down * wide + across) // (2 * across))
        top = (whole - high) // 2
    # Pillow's filter is antialiased, as at the fit. OpenCV's default, INTER_LINEAR, is not: on photographs of
    # many megapixels it gives other features, and other verdicts. With OpenCV reduce with INTER_AREA, and
    # convert BGR to RGB (benchmarks/resize_filters.py measures both).
    small = image.resize((wide, high), Image.Resampling.BILINEAR)
    rgb[0, top : top + high, left : left + wide] = small
    inside[0, top : top + high, left : left + wide] = 1
    feed = {"rgb": rgb, "inside": inside} if meta["fit"] == "pad" else {"rgb": rgb}
    return feed, (top, left, high, wide), image.size


def checked(path, unsealed):
    """Read a model file and check its SHA-256: the last 64 bytes, computed with "0" in their place."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        sys.exit(f"{path}: cannot be read ({error.strerror})")
    if content[-76:-64] == b"rJ\n\x06sha256\x12@":
        if hashlib.sha256(content[:-64] + b"0" * 64).hexdigest().encode() != content[-64:]:
            sys.exit(f"{path}: was altered after it was exported; copy or export it again")
    elif not unsealed:
        sys.exit(f"{path}: is truncated, damaged or has no SHA-256 (see --unsealed); export it again")
    return content


def opened(path, unsealed=False):
    """Return a session, created from the checked bytes, the metadata, and the threshold and review levels."""
    content = checked(path, unsealed)
    # A second file with large arrays can be found from the path only.
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
    if "align" in meta:
        sys.exit(f"{path}: takes parts cut out of images; use inspect_images.py, which lies beside it")
    if "threshold_level" not in meta:
        sys.exit(f"{path}: has no threshold, so there are no verdicts; set one and export it again")
    return session, meta, *(int(meta[key]) for key in ("threshold_level", "review_from", "review_to"))


def each(images, score, blank=()):
    """Print what score returns for every image, cells between tabs; end with 2 if one cannot be used.

    Such a file has the cells of blank, "unreadable" and the reason.
    """
    unusable = 0
    for path in images:
        try:
            cells = score(path)
        except Unusable as error:
            unusable += 1
            cells = (*blank, "unreadable", error)
        print(path, *cells, sep="\t", flush=True)
    if unusable:
        print(f"{unusable} of {len(images)} files could not be used", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    model, *images = (argument for argument in sys.argv[1:] if argument != "--unsealed")
    session, meta, threshold, low, high = opened(model, "--unsealed" in sys.argv)

    def score(path):
        feed, _, _ = prepared(path, meta)
        level = float(session.run(["score"], feed)[0][0])
        verdict = "review" if low <= level <= high else "reject" if level > threshold else "accept"
        return f"{float(meta['quantizer_offset']) + float(meta['quantizer_step']) * level:.6g}", verdict

    each(images, score, blank=("nan",))
