"""The binary protocol between the decoding helper process and its parent process.

The helper first sends ``READY``. Then, for every file, the parent sends a ``REQUEST`` and the file's bytes,
and the helper sends an ``ANSWER``, a text (UTF-8) and the pixels. The text is the file's samples as JSON,
empty for an image of 8 bits; or the reason why there are no pixels.
"""

from __future__ import annotations

import struct

# Length of the file, largest number of pixels, bytes of memory, seconds, bit depth (0: as the file declares).
REQUEST = struct.Struct("<QQQdi")
# Whether the file was decoded, height, width, length of the text.
ANSWER = struct.Struct("<?III")
READY = b"padim decode worker 2\n"
