"""Runs migrations over the connection that `storage.sql.migrate` made."""

from alembic import context

from storage.failpoints import failpoint
from storage.sql.batches import tables as _tables  # noqa: F401 - adds to the metadata
from storage.sql.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=True,
    on_version_apply=lambda **_: failpoint("migrate.before_commit"),
)
with context.begin_transaction():
    context.run_migrations()
