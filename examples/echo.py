"""The smallest model: a class with `infer(inputs)`. Serve it with `configs/models/echo.yaml`."""

from collections.abc import Mapping
from typing import Any


class Echo:
    """Says what it was told."""

    async def infer(self, inputs: Mapping[str, Any]) -> Any:
        """Return the request's text, or else its `input`."""
        return inputs.get("text", inputs.get("input"))
