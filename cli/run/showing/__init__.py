"""How a run is shown: to people, as it happens; or as OpenCode's `run --format json` does, an event a line."""
