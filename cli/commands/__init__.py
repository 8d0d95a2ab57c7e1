"""The commands: each module declares one, or a family, and starts nothing by being imported."""
