"""Whether the suite would notice: promptq, broken on purpose in one place at a time, must be found out every time."""
