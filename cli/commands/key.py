"""`promptq key …`: make the keys that callers come with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.exits import UsageError, remark

app = typer.Typer(no_args_is_help=True, help="Make the keys that callers come with.")


@app.command()
def new(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose key it is: a name of your choice.")],
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="Append the key's lines to this file, which is made if it is missing."
        ),
    ] = None,
) -> None:
    """Make a key, and print it: this once, for only its hash is kept.

    Without --config its lines for the configuration file (promptq.toml, or PROMPTQ_CONFIG) are printed after it. With
    it, only the key is on stdout. An API takes the key when it is next started; what is done with the key is the
    tenant's, and is seen by no other. The tenant 'default' has what was done without keys.
    """
    import re

    from cli.key_file import append
    from domain.configuration import block_of
    from domain.keys import TENANT_PATTERN, make_key

    if not re.fullmatch(TENANT_PATTERN, tenant, re.ASCII):
        raise UsageError("a tenant's name is 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit")
    key = make_key(tenant)
    block = block_of(key.id, key.kept)
    if config is not None:
        append(config, block)
        print(key.text)
        remark(f"[keys.{key.id}] is in {config} now; an API takes the key when it is next started.")
        return
    print(key.text)
    print(f"\n# for promptq.toml:\n{block}", end="")
