"""What a worker counts of its prompts, and who is shown it: a scraper at a port of its own, or the APIs over Redis.

Nothing here knows content, and nothing here may hold up or break the engine.
"""
