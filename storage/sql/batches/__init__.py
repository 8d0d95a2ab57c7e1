"""Files and batches in SQL: see `storage.batches` for what is promised."""
