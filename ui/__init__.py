"""Code shared by the app's pages: shell, session state, jobs, media, charts. ``padim`` never imports it."""
