"""The history of the database's tables, as Alembic migrations that come with the package."""
