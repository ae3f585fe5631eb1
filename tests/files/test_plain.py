"""How much of anything a manifest may hold beside its specs."""

from typing import Any

import pytest

from memcli.errors import UsageError
from memcli.files.plain import LONGEST_KEY, MOST_VALUES, require_few


@pytest.mark.parametrize("values", [{}, {"k" * LONGEST_KEY: {"a": [1, {"b": None}]}}, {"a": [0] * (MOST_VALUES - 2)}])
def test_what_is_little_is_accepted(values: dict[str, Any]) -> None:
    require_few({"recipe": values})


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"a": [0] * (MOST_VALUES - 1)}, "recipe hold over 10000 values. Leave some out"),
        ({str(number): 0 for number in range(70_000)}, "recipe hold over 10000 values"),
        ({"a": [{"b": [{"c": {}}] * 4000}] * 2}, "recipe hold over 10000 values"),
        ({"a": [{"k" * (LONGEST_KEY + 1): 0}]}, "a key has over 200 characters. Give shorter ones"),
    ],
)
def test_what_nobody_could_read_is_refused(values: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        require_few({"recipe": values})
