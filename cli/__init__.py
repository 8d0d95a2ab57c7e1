"""The promptq command: an HTTP client, and the starter of the processes."""
