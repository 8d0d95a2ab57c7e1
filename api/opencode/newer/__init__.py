"""OpenCode's newer surface, `/api/session…`: the same sessions, prompts and answers in its other shapes."""
