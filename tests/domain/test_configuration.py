"""What the configuration file may say, and what is said of one that cannot be honoured."""

from pathlib import Path

import pytest

from domain.configuration import LARGEST, Configuration, ConfigurationInvalid, block_of, configuration_of, parse
from domain.keys import make_key
from domain.settings import Settings
from tests.support.keys import tenant_of

PATH = Path("promptq.toml")
HASH = "a" * 64


def refusal(text: str | bytes) -> str:
    """Why a file is refused, after its name."""
    with pytest.raises(ConfigurationInvalid) as caught:
        parse(text.encode() if isinstance(text, str) else text, PATH)
    assert caught.value.path == PATH
    return str(caught.value).removeprefix("promptq.toml")


def test_an_empty_file_says_nothing() -> None:
    assert parse(b"", PATH) == Configuration()
    assert not parse(b"# nothing yet\n", PATH).keyring(password=None).is_needed


def test_keys_are_read_as_they_are_written() -> None:
    alices, bobs = make_key("alice"), make_key("bob")
    text = block_of(alices.id, alices.kept) + "\n" + block_of(bobs.id, bobs.kept)
    ring = parse(text.encode(), PATH).keyring(password=None)
    assert tenant_of(ring, alices.text) == "alice"
    assert tenant_of(ring, bobs.text) == "bob"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = ", ", line 1: is not TOML: "),
        ("\n\n[keys\n", ", line 3: is not TOML: "),
        ('a = 1\nb = """\n', ", line 2: is not TOML: Unterminated string"),
        ("[keys.a]\n[keys.a]\n", ", line 2: is not TOML: "),
        (b"# fine\n# \xff\n", ", line 2: is not UTF-8"),
        ("# as it will be\n\n[providers.x]\nurl = 1\n", ", line 3: unknown 'providers'; known here: keys"),
        ("[key.a]\n", ", line 1: unknown 'key'; did you mean 'keys'?"),
        ("key = 1\n[keys]\n", ", line 1: unknown 'key'; did you mean 'keys'?"),
        ("keys = 3\n", ", line 1: keys: must be a table"),
        ('[keys]\nabc = "alice"\n', ", line 2: keys.abc: must be a table"),
        (f'[keys.a]\nsha256 = "{HASH}"\n', ", line 1: [keys.a] lacks 'tenant'"),
        ('[keys.a]\ntenant = "alice"\n', ", line 1: [keys.a] lacks 'sha256'"),
        (f'[keys.a]\nsha256 = "{HASH}"\ntenant = 7\n', ", line 3: keys.a.tenant: must be a string"),
        (f'[keys.a]\nsha256 = "{HASH}"\ntenant = "a:b"\n', ", line 3: keys.a.tenant: must be 1 to 64 of "),
        (f'[keys.A-b]\nsha256 = "{HASH}"\ntenant = "a"\n', ", line 1: keys.A-b: must be 1 to 32 of a-z 0-9"),
        (
            f'[keys.a]\nsha256 = "{HASH}"\ntenant = "a"\ntenants = "b"\n',
            ", line 4: unknown 'keys.a.tenants'; did you mean 'tenant'?",
        ),
        (f'[keys.a]\nsha256 = [\n"{HASH}"\n]\ntenant = "a"\n', ", line 2: keys.a.sha256: must be a string"),
        ('keys = {a = {tenant = "x", sha256 = "y"}}\n', ", line 1: keys.a.sha256: must be 64 hex digits"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_its_line(text: str | bytes, said: str) -> None:
    assert refusal(text).startswith(said)


def test_of_several_faults_the_first_in_the_file_is_told() -> None:
    assert refusal('[keys.a]\ntenant = "a"\nsha256 = "x"\n\n[wrong]\n').startswith(", line 3: ")
    assert refusal('[wrong]\n\n[keys.a]\ntenant = "a"\nsha256 = "x"\n').startswith(", line 1: ")


def test_the_line_of_a_name_is_not_that_of_a_comment_or_a_text_that_has_it() -> None:
    text = f'# sha256 comes later\n[keys.a] # sha256\ntenant = """\nsha256 = 1"""\nsha256 = {HASH!r}\n'
    assert refusal(text).startswith(", line 3: keys.a.tenant: ")
    assert refusal(text.replace("sha256 = 1", "alice").replace(HASH, "x")).startswith(", line 5: keys.a.sha256: ")


def test_no_value_is_repeated() -> None:
    secret = "sesame-" * 5
    for text in (
        f'[keys.a]\ntenant = "a"\nsha256 = "{secret}"\n',
        f'[keys.a]\ntenant = "{secret} {secret}"\nsha256 = "{HASH}"\n',
        f'[keys.a]\nsecret = "{secret}"\ntenant = "a"\nsha256 = "{HASH}"\n',
        f'x = "{secret}" {secret}\n',
    ):
        assert "sesame" not in refusal(text)


def test_a_file_that_is_something_else_is_not_read_to_its_end() -> None:
    assert refusal(b"#" * (LARGEST + 1)) == f": is larger than {LARGEST} bytes"


def test_the_usual_file_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROMPTQ_CONFIG", raising=False)
    assert configuration_of(Settings()) == Configuration()
    (tmp_path / "promptq.toml").write_text("[keys.a]\ntenant = 1\n")
    with pytest.raises(ConfigurationInvalid, match=r"^promptq\.toml, line"):
        configuration_of(Settings())


def test_a_file_that_is_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTQ_CONFIG", str(tmp_path / "mine.toml"))
    with pytest.raises(ConfigurationInvalid, match=r"mine\.toml: cannot be read: No such file or directory"):
        configuration_of(Settings())
    (tmp_path / "mine.toml").mkdir()
    with pytest.raises(ConfigurationInvalid, match="cannot be read: Is a directory"):
        configuration_of(Settings())
    (tmp_path / "mine.toml").rmdir()
    (tmp_path / "mine.toml").write_text("[keys]\n")
    assert configuration_of(Settings()) == Configuration()
