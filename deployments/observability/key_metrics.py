"""Counts what each key asks for and uses. `metrics` takes the counts along with all others.

A key is called by its name in the file of keys, which no caller chooses. A request without a valid key counts as
`(none)`. Names beyond the first `MOST_NAMES` that a process has seen count together as `(other)`: files may name ten
thousand.
"""

from collections import Counter, defaultdict

from deployments.observability import metric_table as table
from deployments.observability.metric_table import Metric

MOST_NAMES = 200
"""Keys that have series of their own in a process."""

NO_KEY, OTHER = "(none)", "(other)"
"""No key has such a name: the names of keys begin with a letter or a digit."""

_names: set[str] = set()
_requests: Counter[tuple[str, str]] = Counter()
_tokens: defaultdict[str, float] = defaultdict(float)
_money: defaultdict[str, float] = defaultdict(float)


def key_label(name: str) -> str:
    """Return what the key `name` is called in metrics: its name, `(other)`, or `(none)` for an empty one."""
    if not name:
        return NO_KEY
    if name in _names:
        return name
    if len(_names) >= MOST_NAMES:
        return OTHER
    _names.add(name)
    return name


def key_asked(name: str, outcome: str) -> None:
    """Count a request of the key `name`, by its end: `answered`, `rejected`, `abandoned`, or the code of a refusal."""
    _requests[key_label(name), outcome] += 1


def key_used(name: str, tokens: float, money: float) -> None:
    """Count what an answer to the key `name` took."""
    label = key_label(name)
    _tokens[label] += tokens
    _money[label] += money


def drain_keys() -> dict[tuple[Metric, tuple[str, ...]], float]:
    """Return what was counted since the last time, and begin again at zero."""
    drained: dict[tuple[Metric, tuple[str, ...]], float] = {
        (table.KEY_REQUESTS, labels): count for labels, count in _requests.items()
    }
    drained |= {(table.KEY_TOKENS, (key,)): count for key, count in _tokens.items() if count}
    drained |= {(table.KEY_MONEY, (key,)): count for key, count in _money.items() if count}
    _requests.clear()
    _tokens.clear()
    _money.clear()
    return drained
