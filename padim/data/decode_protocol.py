"""The binary protocol between the decoding helper process and its parent process.

The helper first sends ``READY``. Then, for every file, the parent sends a ``REQUEST`` and the file's bytes,
and the helper sends an ``ANSWER`` and the pixels, or the reason why there are none (UTF-8).
"""

from __future__ import annotations

import struct

# Length of the file, largest number of pixels, bytes of memory, seconds.
REQUEST = struct.Struct("<QQQd")
# Whether the file was decoded, height, width, length of the reason otherwise.
ANSWER = struct.Struct("<?III")
READY = b"padim decode worker 1\n"
