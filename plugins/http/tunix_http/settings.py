"""Settings of the server: flags, then environment, then ``.env``, then defaults."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tunix_core.contributions import DEFAULT
from tunix_core.errors import UsageError

PREFIX = "TUNIX_HTTP_"
MIB = 1024 * 1024
MIN_TOKEN_CHARS = 16
_TOKEN_NEEDED = f"set {PREFIX}TOKEN or --token-file, say to the output of: openssl rand -hex 32"
CONTRACT_ORIGINS = [
    "http://localhost:5173",
    "http://127.0.0.1:5173",
    "http://localhost:4173",
    "http://127.0.0.1:4173",
]


def _split(value: Any) -> Any:
    """A list from the environment: a JSON array, or words between commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [word.strip() for word in value.split(",") if word.strip()]


def _web_address(value: str) -> str:
    TypeAdapter(HttpUrl).validate_python(value)
    return value


def _strong(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if len(text) < MIN_TOKEN_CHARS or not all("!" <= char <= "~" for char in text):
        raise ValueError(f"must be at least {MIN_TOKEN_CHARS} visible ASCII characters, no spaces")
    return token


Seconds = Annotated[float, Field(gt=0, le=86400)]
Bytes = Annotated[int, Field(ge=1024)]
Words = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Directory = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
Directories = Annotated[list[Directory], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """What the server is told, checked.

    The first fields have the names and the limits of the wire contract; the variable of any other
    has ``TUNIX_HTTP_`` in front. A field of seconds or bytes is a limit; ``body_timeout_s`` and
    ``write_timeout_s`` count from the last progress, not from the beginning.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    backend_port: int = Field(8000, ge=1, le=65535, validation_alias="backend_port")
    trace_max_bytes: int = Field(MIB, ge=1024, le=10 * MIB, validation_alias="trace_max_bytes")
    tunix_output_max_bytes: int = Field(
        10240, ge=1024, le=MIB, validation_alias="tunix_output_max_bytes"
    )
    model_registry_path: Directory | None = Field(None, validation_alias="model_registry_path")
    rediai_mode: Literal["mock", "real"] = Field("mock", validation_alias="rediai_mode")
    rediai_base_url: Annotated[str, AfterValidator(_web_address)] = Field(
        "http://localhost:8080", validation_alias="rediai_base_url"
    )
    rediai_health_path: str = Field("/health", pattern="^/", validation_alias="rediai_health_path")
    rediai_health_cache_ttl_seconds: int = Field(
        30, ge=0, le=300, validation_alias="rediai_health_cache_ttl_seconds"
    )

    host: str = Field("127.0.0.1", min_length=1)
    token: Annotated[SecretStr, AfterValidator(_strong)] | None = None
    allowed_hosts: Words = []
    allowed_origins: Words = CONTRACT_ORIGINS
    ingest_roots: Directories = []
    max_body_bytes: Bytes = 16 * MIB
    max_upload_bytes: Bytes = 2048 * MIB
    max_line_bytes: Bytes = 8 * MIB
    header_timeout_s: Seconds = 10.0
    body_timeout_s: Seconds = 30.0
    write_timeout_s: Seconds = 60.0
    keep_alive_s: Seconds = 15.0
    run_time_limit_s: Annotated[float, Field(gt=0)] | None = None
    workers: int = Field(1, ge=0, le=64)
    default_trainer: str = Field(DEFAULT, min_length=1)

    @model_validator(mode="after")
    def _off_loopback_needs_a_token(self) -> Self:
        if self.token is None and not self.is_loopback:
            raise ValueError(f"{self.host} can be reached from other machines: {_TOKEN_NEEDED}")
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def rediai_health_url(self) -> str:
        """Where RediAI tells its health."""
        return self.rediai_base_url.rstrip("/") + self.rediai_health_path


def load_settings(**flags: Any) -> Settings:
    """The settings of this process.

    Args:
        flags: Fields given on the command line; those that are None were not given.

    Raises:
        UsageError: A value is refused; the message names its variable.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise UsageError("; ".join(_problem(item) for item in error.errors())) from error


def _problem(item: Any) -> str:
    """One refused value as ``VARIABLE: reason``. Its input is left out, it may be the token."""
    reason = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:
        return reason
    name = str(item["loc"][0])
    alias = Settings.model_fields[name].validation_alias
    return f"{name.upper() if alias else PREFIX + name.upper()}: {reason}"
