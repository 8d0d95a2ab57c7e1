"""Live events over HTTP: one reader a process, many clients, each event encoded once for all of them."""
