"""Where the files of a pretrained model lie: here, in a folder of models, or on the Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from tunix_core.errors import UsageError
from tunix_jax.models.shapes import SHAPES

FOLDERS = "TUNIX_MODELS"
_KAGGLE = Path("/kaggle/input")
# Deep enough for /kaggle/input/models/OWNER/MODEL/FRAMEWORK/VARIATION/VERSION.
_DEPTH = 7
_WANTED = ["*.json", "*.safetensors", "*.jinja"]


def locate(model_id: str) -> Path:
    """The directory of a pretrained model.

    Args:
        model_id: A directory; or an id on the Hub, or a short name such as ``gemma-3-1b``,
            which is looked for in the folders that ``TUNIX_MODELS`` names, then in Kaggle's
            input folder, then on the Hub.

    Raises:
        UsageError: It is nowhere, or the Hub does not hand it out.
    """
    if Path(model_id).is_dir():
        return Path(model_id)
    repository = hub_id(model_id)
    name = repository.rpartition("/")[2].lower()
    folders = _folders()
    for folder in folders:
        found = sorted(_models(folder, name, _DEPTH), key=_version)
        if found:
            return found[-1]
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        looked = ", ".join(map(str, [Path(model_id), *folders]))
        raise UsageError(f"no model {model_id!r} in {looked}", "give a directory or a Hub id")
    return _from_hub(repository, folders)


def hub_id(model_id: str) -> str:
    """The Hub repository of a short name; anything else as it is."""
    shape = SHAPES.get(model_id)
    return shape.repository if shape is not None and shape.repository else model_id


def _folders() -> list[Path]:
    named = os.environ.get(FOLDERS, "").split(os.pathsep)
    return [path for path in (*map(Path, filter(None, named)), _KAGGLE) if path.is_dir()]


def _models(
    folder: Path, name: str, depth: int, above: tuple[str, ...] = (), inside: bool = False
) -> Iterator[Path]:
    """Directories with a model at or below one that is called ``name``.

    Kaggle cuts some names in two: ``llama-3.2/transformers/1b-instruct/1``.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    names = {entry.name for entry in entries}
    if inside and "config.json" in names and any(n.endswith(".safetensors") for n in names):
        yield folder
    elif depth:
        for entry in entries:
            if entry.is_dir():
                own = entry.name.lower()
                called = own == name or any(f"{outer}-{own}" == name for outer in above)
                yield from _models(
                    Path(entry.path), name, depth - 1, (*above, own), inside or called
                )


def _version(path: Path) -> list[tuple[int, str]]:
    """Orders paths so that version 10 comes after 9."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _from_hub(repository: str, folders: list[Path]) -> Path:
    # Imported when it is needed: it takes a while.
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    looked = ", ".join([*map(str, folders), "the Hub"])
    put = f"put its files into a folder called {repository.rpartition('/')[2]} and name the folder"
    put += f" above it in {FOLDERS}"
    try:
        return Path(snapshot_download(repository, allow_patterns=_WANTED))
    except GatedRepoError:
        raise UsageError(
            f"{repository} must be asked for",
            "accept its licence on its page on the Hub and run `hf auth login`, or " + put,
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise UsageError(
            f"no model {repository!r} in {looked}",
            "check the name; for a private one run `hf auth login`",
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        why = "is off" if constants.HF_HUB_OFFLINE else f"cannot be read: {_first_line(error)}"
        raise UsageError(f"no model {repository!r} in {looked}: the Hub {why}", put) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
