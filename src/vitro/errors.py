"""The one error a user is meant to see: one line that says what was wrong and what would work."""


class VitroError(Exception):
    """A user's mistake or a machine's limit, told in one line; the command line prints it and exits with code 2.

    Every room raises this class (or one of its children) and nothing else for what a user can mend, so `str(error)`
    is always fit to be shown as it is.

    >>> try:
    ...     vitro.tasks.named("dais")
    ... except vitro.VitroError as error:
    ...     print(error)
    there is no task ...
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class NoValueError(VitroError):
    """What is asked has no value for this model and task. A study leaves it out, says so, and goes on with the rest."""


def is_failure(error: BaseException) -> bool:
    """Whether something of a library failed, and nobody asked for an end: a panic in Rust is not even an `Exception`.

    >>> is_failure(KeyboardInterrupt()), is_failure(TypeError())
    (False, True)
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
