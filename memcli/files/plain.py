"""The parts of a manifest that may hold anything, recipe, provenance and results: how much of it. No torch."""

from typing import Any

from memcli.errors import UsageError

MOST_VALUES, LONGEST_KEY = 10_000, 200  # of all three together; characters


def require_few(parts: dict[str, Any]) -> None:
    """Raise UsageError where `parts` hold more values, or longer keys, than a person could read.

    Every object, list, text and number is a value. Most are a line of what is told of a file, after all of their keys.
    """
    values, count = list[Any](parts.values()), 0
    while values:
        value, count = values.pop(), count + 1
        if isinstance(value, dict):
            if any(len(key) > LONGEST_KEY for key in value):
                raise UsageError(f"a key has over {LONGEST_KEY} characters", do="Give shorter ones")
            values += value.values()
        elif isinstance(value, list | tuple):
            values += value
        if count + len(values) > MOST_VALUES:
            raise UsageError(f"{', '.join(parts)} hold over {MOST_VALUES} values", do="Leave some out")
