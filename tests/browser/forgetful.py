"""Streamlit's own command line, which drops its first answer to each upload, as a run that begins then does.

python tests/browser/forgetful.py run app.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from streamlit.proto.Common_pb2 import FileURLsRequest
from streamlit.runtime.app_session import AppSession


def forget_first_answers() -> None:
    """Answer a question for upload addresses only when it is put again."""
    answer = AppSession._handle_file_urls_request
    asked: set[str] = set()

    def forgetting(self: AppSession, file_urls_request: FileURLsRequest) -> None:
        if file_urls_request.request_id in asked:
            answer(self, file_urls_request)
        asked.add(file_urls_request.request_id)

    AppSession._handle_file_urls_request = forgetting  # type: ignore[method-assign]


if __name__ == "__main__":
    from streamlit.web.cli import main

    forget_first_answers()
    main()
