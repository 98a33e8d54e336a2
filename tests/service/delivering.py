"""A process that delivers until it is killed: ``python -m tests.service.delivering WORKSPACE``."""

from __future__ import annotations

import sys
import threading

from padim.service.dispatcher import SinkDispatcher

if __name__ == "__main__":
    SinkDispatcher(sys.argv[1], first_pause=0.02).start()
    print("delivering", flush=True)
    threading.Event().wait()
