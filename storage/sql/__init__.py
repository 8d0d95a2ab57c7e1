"""The durable keeper: sessions, messages and jobs in SQLite or Postgres."""

from storage.sql.opening import open_store

__all__ = ["open_store"]
