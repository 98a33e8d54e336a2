"""The frame around the pages: shell, session state, workspace, server."""
