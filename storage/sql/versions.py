"""Which version of the schema a database has, and which one this promptq wants."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from domain.errors import StoreIncompatible

MIGRATIONS = Path(__file__).parent.parent / "migrations"


def alembic_config() -> Config:
    """Return Alembic's configuration; it has no file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


@cache
def head_revision() -> str:
    """Return the revision that this promptq wants."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        message = f"no migrations in {MIGRATIONS}"
        raise StoreIncompatible(message)
    return head


def is_known(revision: str) -> bool:
    """Tell whether a revision is this promptq's or an earlier one's."""
    return revision in {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}


def revision_of(connection: sa.Connection) -> str | None:
    """Return the revision of a database; None if it is empty."""
    return MigrationContext.configure(connection).get_current_revision()
