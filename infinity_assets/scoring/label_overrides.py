"""Manual overrides of labels, which take precedence over the models' answers.

The package ships `common_labels.yaml`. A user's `labels.yaml` in the data folder takes precedence over it.

```yaml
word problem: {label_zh: 应用题, cate_ability: [mathematics, problem solving]}
maths: {into: mathematics}        # the label that replaces it: a synonym or a broader label
```
"""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from infinity_assets.errors import InfinityError
from infinity_assets.scoring.labels import ABILITIES

FILE = "labels.yaml"
SHIPPED = Path(__file__).with_name("common_labels.yaml")


class Override(BaseModel):
    """The override of one label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label_zh: str | None = None
    """The Chinese name."""
    cate_ability: tuple[str, ...] | None = None
    """The coarse abilities."""
    into: str | None = None
    """The label that replaces this one."""

    @field_validator("cate_ability")
    @classmethod
    def _known(cls, abilities: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if unknown := sorted(set(abilities or ()) - set(ABILITIES)):
            raise ValueError(f"there is no coarse ability {', '.join(unknown)}; there are {', '.join(ABILITIES)}")
        return abilities


def files(data: Path) -> list[Path]:
    """Return the existing files of overrides in ascending precedence."""
    return [file for file in (SHIPPED, data / FILE) if file.is_file()]


def read(data: Path) -> dict[str, Override]:
    """Return the overrides by label. Raise `InfinityError` if a file is not YAML of the documented form."""
    return {label: override for file in files(data) for label, override in _read(file).items()}


def _read(file: Path) -> dict[str, Override]:
    try:
        overrides = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        return {str(label): Override.model_validate(value) for label, value in overrides.items()}
    except ValidationError as error:
        fault = error.errors()[0]
        place, message = ".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")
        raise InfinityError(f"{file}: {place}: {message}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:
        form = "`label: {label_zh: ..., cate_ability: [...], into: ...}`"
        raise InfinityError(f"{file} must consist of {form} lines.") from error
