"""Alembic's entry: runs on the connection that tusfm.adapters.migration opened and locked."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="tusfm_alembic",  # the old service's database keeps its own `alembic_version`
    transaction_per_migration=False,
)
context.run_migrations()
