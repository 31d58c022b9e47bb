"""What the loss of one host would take along."""

from collections.abc import Collection, Mapping


def lost_together(backup: Collection[str], models: Mapping[str, Collection[str]], hosts: Collection[str]) -> list[str]:
    """Return, in words, which host's loss takes models and their backup.

    Args:
        backup: the hosts of the backup's replicas.
        models: by name the hosts of each model's replicas.
        hosts: all hosts of the cluster. Where there is only one, nothing could be placed better.
    """
    if len(set(backup)) != 1 or len(set(hosts) | set(backup)) == 1:
        return []
    (host,) = set(backup)
    along = sorted(name for name, theirs in models.items() if set(theirs) == {host})
    if not along:
        return []
    named = ", ".join(along[:_MOST_NAMED]) + (" and others" if len(along) > _MOST_NAMED else "")
    return [f"host {host} has every replica of the backup and of {named}: its loss leaves the last resort for these"]


_MOST_NAMED = 8
