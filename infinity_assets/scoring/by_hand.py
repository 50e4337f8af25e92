"""What a user says of labels by hand, in `labels.yaml` in the data folder; it goes before what the models say.

```yaml
word problem: {label_zh: 应用题, cate_ability: [mathematics, problem solving]}
maths: {into: mathematics}        # another name, or a label that it becomes part of
```
"""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from infinity_assets.errors import InfinityError
from infinity_assets.scoring.labels import ABILITIES

FILE = "labels.yaml"


class Said(BaseModel):
    """What is said of one label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label_zh: str | None = None
    """Its Chinese name."""
    cate_ability: tuple[str, ...] | None = None
    """Its coarse abilities."""
    into: str | None = None
    """The label that it becomes."""

    @field_validator("cate_ability")
    @classmethod
    def _known(cls, abilities: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if unknown := sorted(set(abilities or ()) - set(ABILITIES)):
            raise ValueError(f"there is no coarse ability {', '.join(unknown)}; there are {', '.join(ABILITIES)}")
        return abilities


def read(data: Path) -> dict[str, Said]:
    """By label; empty where there is no file.

    Raises:
        InfinityError: The file is no YAML of that form.
    """
    file = data / FILE
    if not file.is_file():
        return {}
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        return {str(label): Said.model_validate(value) for label, value in said.items()}
    except ValidationError as error:
        fault = error.errors()[0]
        raise InfinityError(f"{file}: {'.'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:
        raise InfinityError(f"{file} must hold `label: {{label_zh: ..., cate_ability: [...], into: ...}}` lines.") from error
