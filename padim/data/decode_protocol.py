"""What a decoding helper process and the process that started it say to each other, in bytes.

First ``READY``; then, for every file, a ``REQUEST`` and the file's bytes one way, and an ``ANSWER`` with the
pixels (or the reason why there are none, UTF-8) the other way.
"""

from __future__ import annotations

import struct

# length of the file, largest number of pixels, bytes of memory, seconds
REQUEST = struct.Struct("<QQQd")
# whether it is an image, height, width, length of the reason otherwise
ANSWER = struct.Struct("<?III")
READY = b"padim decode worker 1\n"
