"""Run migrations on the connection of :mod:`padim.records.database`; Alembic loads this file."""

from __future__ import annotations

from alembic import context

from padim.records.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
# The caller has begun the transaction, so that a process that is killed leaves no half of a migration.
context.run_migrations()
