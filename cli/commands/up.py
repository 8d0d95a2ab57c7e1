"""`promptq up`."""

from pathlib import Path
from typing import Annotated

import typer

Host = Annotated[str | None, typer.Option(help="Address of API and Flower; one that others reach needs a password.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the API; 0 takes a free one.")]
FlowerPort = Annotated[int | None, typer.Option(min=0, max=65535, help="Port of Flower; 0 takes a free one.")]
DataDir = Annotated[Path | None, typer.Option(help="Where everything is kept.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="How many workers to start.")]
NoFlower = Annotated[bool, typer.Option("--no-flower", help="Do not start Flower.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Speak only of what goes wrong.")]


def up(
    host: Host = None,
    port: Port = None,
    flower_port: FlowerPort = None,
    data_dir: DataDir = None,
    workers: Workers = 1,
    no_flower: NoFlower = False,
    quiet: Quiet = False,
) -> None:
    """Start everything here: an embedded Valkey, the database, the API, workers and Flower.

    Options beat the environment (PROMPTQ_HOST and so on). Ctrl-C stops everything in order.
    """
    from cli.environment import read_settings
    from cli.supervisor.up import Wishes
    from cli.supervisor.up import up as run

    settings = read_settings(host=host, port=port, flower_port=flower_port, data_dir=data_dir)
    raise typer.Exit(run(settings, Wishes(workers=workers, with_flower=not no_flower, quiet=quiet)))
