"""The application: run it with ``streamlit run app.py``.

Streamlit serves ``home.py`` and the files in ``pages/``, behind the checks and headers of ``ui.server``.
"""

from streamlit.starlette import App

from ui.server import middleware

app = App("home.py", middleware=middleware())
