"""Entry point of the web application: run it with ``streamlit run app.py``.

Streamlit serves ``home.py`` and the files in ``pages/``, behind the checks and headers of ``ui.app.server``.
"""

import sys

from streamlit.starlette import App

from padim.errors import PadimError
from padim.network.allocation import keep_freed_memory
from ui.app.hosted import lifespan
from ui.app.server import apply_settings, middleware

keep_freed_memory()
try:
    apply_settings()
except PadimError as error:
    sys.exit(f"error: {error}")
app = App("home.py", middleware=middleware(), lifespan=lifespan)
