"""The ephemeral keeper: sessions that live in Redis only, each with a time to live, and leave nothing behind."""
