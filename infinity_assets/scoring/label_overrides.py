"""What is said of labels by hand: of common ones in `common_labels.yaml`, which comes with the package, and by a user in `labels.yaml` in the data
folder. The user's goes before ours, and both before what the models say.

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
SHIPPED = Path(__file__).with_name("common_labels.yaml")


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


def files(data: Path) -> list[Path]:
    """The files there are, the weightiest last."""
    return [file for file in (SHIPPED, data / FILE) if file.is_file()]


def read(data: Path) -> dict[str, Said]:
    """By label.

    Raises:
        InfinityError: A file is no YAML of that form.
    """
    return {label: said for file in files(data) for label, said in _read(file).items()}


def _read(file: Path) -> dict[str, Said]:
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        return {str(label): Said.model_validate(value) for label, value in said.items()}
    except ValidationError as error:
        fault = error.errors()[0]
        raise InfinityError(
            f"{file}: {'.'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:
        raise InfinityError(
            f"{file} must hold `label: {{label_zh: ..., cate_ability: [...], into: ...}}` lines."
        ) from error
