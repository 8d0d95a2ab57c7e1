"""`promptq run`: one prompt, followed while it is answered: a client of HTTP, with a server of its own if need be."""
