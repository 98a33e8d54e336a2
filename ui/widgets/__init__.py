"""Parts of pages: panels, tables, charts, settings."""
