"""What all settings have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class Settings(BaseModel):
    """Frozen, and every unknown key is an error: a misspelt setting never goes unnoticed."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
NonEmpty = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
ModelId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
"""Lower case letters, digits and `.`, `_`, `-`: it is a Serve application, a file name and part of a path."""
