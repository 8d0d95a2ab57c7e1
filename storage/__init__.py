"""Where sessions, messages and jobs are kept: one contract (`storage.base`), and its keepers."""
