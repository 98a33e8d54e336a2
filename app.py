"""The application: run it with ``streamlit run app.py``.

Streamlit serves ``home.py`` and the files in ``pages/``, behind the checks and headers of ``ui.app.server``.
"""

from streamlit.starlette import App

from ui.app.server import middleware

app = App("home.py", middleware=middleware())
