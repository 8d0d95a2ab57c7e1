"""`promptq demo`: example prompts through everything, with a worker killed on the way. A client and a starter only."""
