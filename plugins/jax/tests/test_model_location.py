"""Where models are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunix_core.errors import UsageError
from tunix_jax.models.location import locate
from tunix_jax.testing import write_small_model


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models, laid out as Kaggle does it; nothing else can be reached."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for version in (2, 10, 9):
        where = tmp_path / "models" / "gemma-3" / "transformers" / "Gemma-3-1b-it" / str(version)
        write_small_model(where, "gemma3")
    (tmp_path / "models" / "gemma-3-4b-it").mkdir()
    monkeypatch.setenv("TUNIX_MODELS", f"{tmp_path / 'nowhere'}:{tmp_path / 'models'}")
    return tmp_path / "models"


@pytest.mark.parametrize("name", ["google/gemma-3-1b-it", "gemma-3-1b", "GEMMA-3-1B-IT"])
def test_the_newest_version_in_a_folder_is_taken(name: str, models: Path) -> None:
    found = locate(name)
    assert found == models / "gemma-3" / "transformers" / "Gemma-3-1b-it" / "10"


def test_a_name_that_is_cut_in_two_is_found(models: Path) -> None:
    where = models / "models" / "metaresearch" / "llama-3.2" / "transformers" / "1b-instruct" / "1"
    write_small_model(where, "llama")
    assert locate("llama-3.2-1b") == where


def test_a_directory_is_taken_as_it_is(models: Path) -> None:
    assert locate(str(models)) == models


@pytest.mark.parametrize("name", ["google/gemma-3-4b-it", "gemma-3-4b"])
def test_a_model_that_is_nowhere_says_where_it_was_looked_for(name: str, models: Path) -> None:
    with pytest.raises(UsageError) as caught:
        locate(name)
    message = str(caught.value)
    assert message.startswith("no model 'google/gemma-3-4b-it' in ")
    assert str(models) in message
    assert "the Hub is off" in message
    assert "gemma-3-4b-it and name the folder above it in TUNIX_MODELS" in message
    assert "\n" not in message


def test_a_name_that_the_hub_cannot_have_is_not_asked_for(models: Path) -> None:
    with pytest.raises(UsageError, match=r"no model 'missing' in .*give a directory or a Hub id"):
        locate("missing")
