"""One supervisor for everything: starts the roles and an embedded Valkey, watches them, and stops them in order."""
