"""Sessions, messages, jobs, events, errors, settings and their rules; no I/O."""
