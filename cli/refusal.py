"""What a command says when it will not do what it was asked."""


class Refusal(Exception):
    """A sentence for the person at the terminal; the command ends with it and exit code 1, without a traceback."""

    def __init__(self, sentence: str, *, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
