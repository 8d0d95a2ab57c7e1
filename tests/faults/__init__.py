"""Nothing lost, nothing twice: a whole promptq under load, to which is done what happens to machines and networks.

`./run faults` starts real processes (API, workers, Valkey, SQLite or Postgres), has client processes submit prompts
with retries and keys, and injects the faults of `docs/reliability.md` while they do. What clients, model and store say
of it goes to files, and `tests.support.checker` reads them. `tests/crash` holds the same invariants in small.
"""
