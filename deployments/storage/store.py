"""A store of records by keys: each is kept for a time, and is then not there any more."""

from typing import Protocol


class RecordMissingError(LookupError):
    """No record has the key, or none has it any more."""


class StoreUnreachableError(RuntimeError):
    """The store cannot be asked now."""


class RecordStore(Protocol):
    """Keeps records. All methods raise `StoreUnreachableError` where the store cannot be asked."""

    async def save(self, key: str, record: bytes, seconds: float) -> None:
        """Keep `record` for so many `seconds`."""
        ...

    async def load(self, key: str) -> bytes:
        """Return the record.

        Raises:
            RecordMissingError: there is none.
        """
        ...

    async def delete(self, key: str) -> bool:
        """Delete the record; return whether there was one."""
        ...

    async def aclose(self) -> None:
        """Close the connections to it."""
        ...
