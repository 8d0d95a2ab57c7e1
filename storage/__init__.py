"""Keeps sessions, messages and jobs: one contract, several keepers."""
