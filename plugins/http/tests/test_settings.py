"""Settings come from flags, the environment and ``.env``; what is wrong is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_core.errors import UsageError
from tunix_http.settings import load_settings

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - opens nothing
WORDS = st.text(st.characters(codec="ascii", exclude_characters=", []\0", min_codepoint=33))


@pytest.fixture(autouse=True)
def _nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("BACKEND_PORT", "TUNIX_HTTP_TOKEN", "TUNIX_HTTP_HOST"):
        monkeypatch.delenv(name, raising=False)


def test_the_contracts_settings_have_their_names_and_defaults() -> None:
    settings = load_settings()
    assert settings.backend_port == 8000
    assert settings.trace_max_bytes == 1_048_576
    assert settings.tunix_output_max_bytes == 10_240
    assert settings.rediai_mode == "mock"
    assert settings.rediai_health_url == "http://localhost:8080/health"
    assert settings.rediai_health_cache_ttl_seconds == 30
    assert settings.is_loopback
    assert settings.token is None


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text(
        "BACKEND_PORT=1\ntunix_http_workers=2\nTUNIX_HTTP_KEEP_ALIVE_S=3\nDATABASE_URL=x\nFOO=1\n"
    )
    monkeypatch.setenv("backend_port", "4")
    monkeypatch.setenv("TUNIX_HTTP_WORKERS", "5")
    settings = load_settings(workers=6, host=None)
    assert (settings.backend_port, settings.workers, settings.keep_alive_s) == (4, 6, 3.0)


def test_variables_of_other_programs_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "TOKEN", "WORKERS", "DEFAULT_TRAINER"):
        monkeypatch.setenv(name, "elsewhere.example")
    settings = load_settings()
    assert (settings.host, settings.token, settings.workers) == ("127.0.0.1", None, 1)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BACKEND_PORT", "0"),
        ("BACKEND_PORT", "65536"),
        ("BACKEND_PORT", "http"),
        ("TRACE_MAX_BYTES", "1023"),
        ("TRACE_MAX_BYTES", "10485761"),
        ("TUNIX_OUTPUT_MAX_BYTES", "1023"),
        ("TUNIX_OUTPUT_MAX_BYTES", "1048577"),
        ("REDIAI_MODE", "fake"),
        ("REDIAI_BASE_URL", "ftp://localhost"),
        ("REDIAI_BASE_URL", "localhost:8080"),
        ("REDIAI_HEALTH_PATH", "health"),
        ("REDIAI_HEALTH_CACHE_TTL_SECONDS", "-1"),
        ("REDIAI_HEALTH_CACHE_TTL_SECONDS", "301"),
        ("TUNIX_HTTP_WORKERS", "-1"),
        ("TUNIX_HTTP_HEADER_TIMEOUT_S", "0"),
        ("TUNIX_HTTP_BODY_TIMEOUT_S", "nan"),
        ("TUNIX_HTTP_MAX_BODY_BYTES", "1"),
        ("TUNIX_HTTP_ALLOWED_HOSTS", '["unclosed"'),
        ("TUNIX_HTTP_TOKEN", "too short"),
    ],
)
def test_a_refused_value_is_named_by_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=f"^{variable}: ") as refused:
        load_settings()
    assert "\n" not in str(refused.value)


def test_all_refused_values_are_named_but_the_token_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BACKEND_PORT", "0")
    monkeypatch.setenv("TUNIX_HTTP_TOKEN", "a secret, with a space in it")
    with pytest.raises(UsageError, match=r"^BACKEND_PORT: .*; TUNIX_HTTP_TOKEN: ") as refused:
        load_settings()
    assert "secret" not in str(refused.value)
    assert TOKEN not in repr(load_settings(backend_port=1, token=TOKEN))


@pytest.mark.parametrize("host", ["::", "192.0.2.1", "lab.example", "127.evil.example"])
def test_off_loopback_a_token_is_needed(host: str) -> None:
    with pytest.raises(UsageError, match="TUNIX_HTTP_TOKEN"):
        load_settings(host=host)
    assert not load_settings(host=host, token=TOKEN).is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_on_loopback_none_is_needed(host: str) -> None:
    assert load_settings(host=host).is_loopback


@given(st.lists(WORDS.filter(bool)))
def test_lists_are_json_or_words_between_commas(words: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for spelling in (", ".join(words), json.dumps(words)):
            patch.setenv("TUNIX_HTTP_ALLOWED_HOSTS", spelling)
            assert load_settings().allowed_hosts == words


def test_directories_do_not_move_when_the_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_REGISTRY_PATH", "models")
    monkeypatch.setenv("TUNIX_HTTP_INGEST_ROOTS", "a,/b")
    settings = load_settings()
    monkeypatch.chdir("/")
    assert settings.model_registry_path == tmp_path / "models"
    assert settings.ingest_roots == [tmp_path / "a", Path("/b")]
