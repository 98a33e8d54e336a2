"""Building blocks of the pages: panels, tables, charts, settings."""
