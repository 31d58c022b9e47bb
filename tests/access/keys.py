"""Files of keys, and the keys that fit them."""

from pathlib import Path
from typing import Any

import yaml

from deployments.access.credential import hash_secret, new_credential


def write_keys(file: Path, **keys: dict[str, Any]) -> dict[str, str]:
    """Write a file with these keys, and return each as its caller sends it."""
    made = {name: new_credential() for name in keys}
    content = {
        name: {"id": made[name].id, "hash": hash_secret(made[name].secret), **facts} for name, facts in keys.items()
    }
    file.write_text(yaml.safe_dump({"keys": content}))
    return {name: str(credential) for name, credential in made.items()}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}
