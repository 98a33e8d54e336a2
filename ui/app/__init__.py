"""The application around the pages: shell, session state, workspace, server."""
