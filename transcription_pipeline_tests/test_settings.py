"""Settings: one reader, every problem at once, no secret in sight."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from transcription_pipeline.composition import build_routes
from transcription_pipeline.errors import ConfigurationError
from transcription_pipeline.settings import Settings

ROUTE = '[[routes]]\nmatch = "calls/**"\nproviders = ["assemblyai"]\nfallback = ["local"]\n'


def load(tmp_path: Path, text: str = "") -> Settings:
    """Load the settings from a file with this text."""
    path = tmp_path / "transcription.toml"
    path.write_text(text)
    return Settings.load(path)


def refuse(tmp_path: Path, text: str = "") -> str:
    """Load settings that must be refused, and return the message."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    return str(caught.value)


def test_the_embedded_default_loads() -> None:
    """The repository's own configuration is valid and routes to the embedded providers."""
    settings = Settings.load(Path(__file__).parent.parent / "transcription.toml")
    assert settings.enabled_providers == ("local", "assemblyai", "scriptivox", "aitronos", "plaud")
    assert settings.budgets["assemblyai"].per_day.micros == 50_000_000


def test_defaults(tmp_path: Path) -> None:
    """An empty file gives the defaults."""
    settings = load(tmp_path)
    assert settings.ledger.url == "sqlite:///var/ledger.db"
    assert settings.storage.lake == "var/lake"
    assert settings.secrets.assemblyai_api_key is None
    assert settings.routes == ()


def test_every_bad_value_is_reported_at_once(tmp_path: Path) -> None:
    """Five mistakes in five places are five problems, each with the setting's name."""
    message = refuse(
        tmp_path,
        '[storage]\nurl_expires_s = 5\nlakee = "x"\n[runs]\nmax_attempts = 0\n'
        '[[routes]]\nproviders = ["nobody"]\n[budgets.assemblyai]\nper_day = "much"\n',
    )
    for place in (
        "storage.url_expires_s",
        "storage.lakee",
        "runs.max_attempts",
        "routes.0.providers.0",
        "budgets.assemblyai.per_day",
    ):
        assert place in message


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable overrides one key of the file and leaves its neighbours alone."""
    monkeypatch.setenv("TRANSCRIPTION__STORAGE__LAKE", "s3://lake/t/")
    monkeypatch.setenv("TRANSCRIPTION__RUNS__MAX_ATTEMPTS", "7")
    monkeypatch.setenv("TRANSCRIPTION__PROVIDERS__ASSEMBLYAI__REGION", "eu")
    monkeypatch.setenv("TRANSCRIPTION__BUDGETS__ASSEMBLYAI__PER_DAY", "1.5 EUR")
    settings = load(
        tmp_path,
        '[storage]\nlake = "var/x"\naudio = "s3://calls/"\n'
        "[providers.assemblyai]\nconcurrency = 9\n" + ROUTE,
    )
    assert settings.storage.lake == "s3://lake/t/"
    assert settings.storage.audio == "s3://calls/"
    assert settings.runs.max_attempts == 7
    assert settings.providers.assemblyai.region == "eu"
    assert settings.providers.assemblyai.concurrency == 9
    assert settings.budgets["assemblyai"].per_day.micros == 1_500_000
    assert settings.budgets["assemblyai"].per_day.currency == "EUR"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRANSCRIPTION__ROUTES", "not json"),
        ("TRANSCRIPTION__RUNS__MAX_ATTEMPTS", "many"),
        ("TRANSCRIPTION__STORAGE__LAKEE", "typo"),
        ("TRANSCRIPTION__STORAGE", "not a section"),
    ],
)
def test_bad_variables_are_configuration_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A variable that cannot be read is reported like a bad line of the file."""
    monkeypatch.setenv(name, value)
    assert refuse(tmp_path)


def test_the_file_is_named_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``TRANSCRIPTION_CONFIG`` names the file; one that does not exist is an error."""
    path = tmp_path / "mine.toml"
    path.write_text('[ledger]\nurl = "sqlite:///mine.db"\n')
    monkeypatch.setenv("TRANSCRIPTION_CONFIG", str(path))
    assert Settings.load().ledger.url == "sqlite:///mine.db"
    monkeypatch.setenv("TRANSCRIPTION_CONFIG", str(tmp_path / "absent.toml"))
    with pytest.raises(ConfigurationError, match="no such file"):
        Settings.load()


@pytest.mark.parametrize("content", [b"[storage\n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_an_unreadable_file(tmp_path: Path, content: bytes) -> None:
    """A file that is not TOML, or not text, is an error that names it."""
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"bad\.toml"):
        Settings.load(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """A folder where the file should be is an error that names it."""
    with pytest.raises(ConfigurationError, match=tmp_path.name):
        Settings.load(tmp_path)


def test_secrets_come_from_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret in a file is refused, without repeating it; the vendor's variable is read."""
    message = refuse(tmp_path, '[secrets]\nassemblyai_api_key = "hunter2"\n')
    assert "environment" in message
    assert "hunter2" not in message
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "hunter2")
    settings = load(tmp_path)
    assert settings.secrets.assemblyai_api_key == SecretStr("hunter2")
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "")
    assert load(tmp_path).secrets.assemblyai_api_key is None


def test_secrets_are_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No way of printing the settings, and no error about them, shows a secret."""
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "hunter2")
    settings = load(tmp_path)
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert "hunter2" not in shown
    assert "hunter2" not in refuse(tmp_path, "[runs]\nmax_attempts = 0\n")


@pytest.mark.parametrize(
    ("text", "micros"),
    [("50.00 USD", 50_000_000), ("0.000001 usd", 1), (" 3 SYNAPSES ", 3_000_000), ("0 USD", 0)],
)
def test_money_is_exact(tmp_path: Path, text: str, micros: int) -> None:
    """Amounts are integers of a named currency, to the sixth decimal."""
    amount = load(tmp_path, f'[budgets.assemblyai]\nper_day = "{text}"\n')
    assert amount.budgets["assemblyai"].per_day.micros == micros
    assert amount.budgets["assemblyai"].per_day.currency.isupper()


@pytest.mark.parametrize("text", ["50", "USD", "-1 USD", "1.0000001 USD", "1,5 EUR", "1 $", ""])
def test_money_that_is_none(tmp_path: Path, text: str) -> None:
    """Anything else is refused: an amount is never guessed."""
    assert "per_day" in refuse(tmp_path, f'[budgets.assemblyai]\nper_day = "{text}"\n')


def test_routes(tmp_path: Path) -> None:
    """Routes keep their order; providers are named once, fallbacks included."""
    settings = load(tmp_path, ROUTE + '[[routes]]\nproviders = ["local"]\nlanguage = "en"\n')
    assert settings.enabled_providers == ("assemblyai", "local")
    assert settings.routes[1].match == "**"
    assert settings.routes[1].common_options() == {"language": "en"}
    assert settings.routes[0].common_options() == {}


def test_a_budget_that_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    """In another currency than the provider's, or where nothing is paid; a route's as well."""
    text = (
        '[[routes]]\nproviders = ["assemblyai"]\nper_day = {assemblyai = "5.00 SYNAPSES"}\n'
        '[budgets.aitronos]\nper_day = "50.00 USD"\n[budgets.local]\nper_day = "1.00 USD"\n'
    )
    with pytest.raises(ConfigurationError) as caught:
        build_routes(load(tmp_path, text))
    assert caught.value.problems == (
        "routes.0.per_day.assemblyai: assemblyai counts in USD, this is in SYNAPSES",
        "budgets.aitronos.per_day: aitronos counts in SYNAPSES, this is in USD",
        "budgets.local.per_day: local costs nothing",
    )
    fine = '[[routes]]\nproviders = ["aitronos"]\nper_day = {aitronos = "500 SYNAPSES"}\n'
    (route,) = build_routes(load(tmp_path, fine))
    assert route.caps_micros == {"aitronos": 500_000_000}


@pytest.mark.parametrize(
    ("provider", "wrong", "right"),
    [
        ("assemblyai", "EUR", "USD"),
        ("scriptivox", "SYNAPSES", "USD"),
        ("plaud", "EUR", "USD"),
        ("aitronos", "USD", "SYNAPSES"),
    ],
)
def test_an_agreed_price_is_in_the_providers_currency(
    tmp_path: Path, provider: str, wrong: str, right: str
) -> None:
    """Another one is never taken for it: budgets would be counted in nothing that exists."""
    text = f'{ROUTE}[providers.{provider}]\nprice_per_hour = "0.19 %s"\n'
    with pytest.raises(ConfigurationError) as caught:
        build_routes(load(tmp_path, text % wrong))
    place = f"providers.{provider}.price_per_hour"
    assert caught.value.problems == (f"{place}: {provider} counts in {right}, this is in {wrong}",)
    build_routes(load(tmp_path, text % right))
