"""`promptq demo`."""


def demo() -> None:
    """Run example prompts through everything, kill a worker on the way, and show that every answer comes once.

    It starts a promptq of its own in a temporary directory on free ports, hands in examples/prompts.jsonl, kills a
    worker with SIGKILL in the middle, shows what came of it, hands the same file in again, and removes everything.
    Exit code 0 only if every answer is there, once, in order.
    """
    from cli.demo.play import play

    play()
