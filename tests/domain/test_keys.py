"""What a key looks like, and whose a given one is."""

import re

import pytest

from domain.keys import KEY_ID_PATTERN, TENANT_PATTERN, KeptKey, Keyring, Visitor, digest_of, make_key


def keyring(*tenants: str, password: str | None = None) -> tuple[Keyring, list[bytes]]:
    """A ring of one key for each tenant, and the keys."""
    made = [make_key(tenant) for tenant in tenants]
    return Keyring({key.id: key.kept for key in made}, password=password), [key.text.encode() for key in made]


def test_a_key_names_itself_and_is_long_enough_that_nobody_finds_it_by_trying() -> None:
    key = make_key("alice")
    prefix, key_id, secret = key.text.split("_")
    assert prefix == "promptq"
    assert key_id == key.id
    assert re.fullmatch(KEY_ID_PATTERN, key_id)
    assert re.fullmatch("[0-9A-Za-z]{43}", secret)


def test_no_two_keys_are_the_same() -> None:
    assert len({make_key("alice").text for _ in range(100)}) == 100


def test_only_a_hash_of_a_key_is_kept_and_shown() -> None:
    key = make_key("alice")
    secret = key.text.rpartition("_")[2]
    assert key.kept == KeptKey("alice", digest_of(key.text.encode()))
    assert secret not in repr(key)
    assert secret not in repr(key.kept)


def test_a_key_opens_for_its_tenant() -> None:
    ring, keys = keyring("alice", "bob", "alice")
    assert [ring.with_key(key) for key in keys] == [
        Visitor(tenant, is_operator=False) for tenant in ("alice", "bob", "alice")
    ]


def test_nothing_but_a_whole_key_opens() -> None:
    ring, (alices, bobs) = keyring("alice", "bob", password="sesame")
    swapped = alices.rpartition(b"_")[0] + b"_" + bobs.rpartition(b"_")[2]
    for given in (b"", b"sesame", alices[:-1], alices + b"x", alices.upper(), b" " + alices, swapped, b"\xff" * 60):
        assert ring.with_key(given) is None, given
    assert ring.with_key(make_key("alice").text.encode()) is None


def test_the_hash_of_a_key_is_no_key() -> None:
    key = make_key("alice")
    ring = Keyring({key.id: key.kept}, password=None)
    assert ring.with_key(key.kept.sha256.encode()) is None
    assert ring.with_key(f"promptq_{key.id}_{key.kept.sha256}".encode()) is None


def test_the_password_opens_for_the_default_tenant() -> None:
    ring, _ = keyring("alice", password="sésame")
    assert ring.with_password("sésame".encode()) == Visitor("default", is_operator=True)
    for wrong in (b"", b"sesame", "sésame".encode("latin-1"), b"0" * 64):
        assert ring.with_password(wrong) is None


def test_without_a_password_none_opens() -> None:
    ring, (key,) = keyring("alice")
    for given in (b"", b"None", key, b"0" * 64):
        assert ring.with_password(given) is None


def test_something_is_asked_for_as_soon_as_there_is_a_key_or_a_password() -> None:
    assert Keyring({}, password=None).with_nothing() == Visitor("default", is_operator=True)
    for ring in (Keyring({}, password="x"), keyring("alice")[0]):
        assert ring.is_needed
        assert ring.with_nothing() is None


@pytest.mark.parametrize(
    ("tenant", "is_one"),
    [("alice", True), ("a", True), ("Team.1_x-y", True), ("a" * 64, True), ("", False), ("a" * 65, False)]
    + [(name, False) for name in ("-a", ".a", "a:b", "a b", "a/b", "a*", "ä", "a\n")],
)
def test_a_tenants_name_is_plain(tenant: str, is_one: bool) -> None:
    assert bool(re.fullmatch(TENANT_PATTERN, tenant, re.ASCII)) is is_one
