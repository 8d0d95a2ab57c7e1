"""Batches: files of prompts that are run as one thing. Lines, states, counts and the rules of both; no I/O."""
