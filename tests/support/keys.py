"""Keys for tenants of a test's own, and whose a key is."""

from domain.configuration import Configuration, KeyTable
from domain.keys import Keyring, make_key


def keyed(*tenants: str) -> tuple[Configuration, dict[str, str]]:
    """A configuration with a key for each tenant, and the keys by tenant."""
    made = {tenant: make_key(tenant) for tenant in tenants}
    tables = {key.id: KeyTable(tenant=tenant, sha256=key.kept.sha256) for tenant, key in made.items()}
    return Configuration(keys=tables), {tenant: key.text for tenant, key in made.items()}


def bearer(secret: str) -> dict[str, str]:
    """The header that a key or a password goes in."""
    return {"Authorization": f"Bearer {secret}"}


def tenant_of(ring: Keyring, key: str) -> str | None:
    """Whose a key is."""
    visitor = ring.with_key(key.encode())
    return None if visitor is None else visitor.tenant
