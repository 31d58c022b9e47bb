"""A key is recognized by its hash, for as long as it holds; what is wrong with a file of keys is told by its place."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.access.credential import Credential, hash_secret, new_credential, read_credential
from deployments.access.keyring import Keyring
from deployments.policy.problem import InvalidRequestError
from deployments.settings import SettingsError
from deployments.settings.keys import read_keys
from tests.access.keys import write_keys

NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
HASH = hash_secret("s", b"0" * 16)
KEY = f"id: {'a' * 12}\nhash: {HASH}\n"


def sent(key: str) -> Credential:
    found = read_credential([(b"x-api-key", key.encode())])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "Bearer {}"),
        ("authorization", "bearer {}"),
        ("x-api-key", "{}"),
        ("api-key", "{}"),
    ],
)
def test_a_key_is_found_in_each_header_that_clients_send_it_in(name: str, value: str) -> None:
    made = new_credential()
    headers = [(b"host", b"x"), (name.encode(), value.format(made).encode())]

    assert read_credential(headers) == made


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Basic bmI6eA==")],
        [(b"authorization", b"Bearer sk-something")],
        [(b"authorization", b"Bearer nb-")],
        [(b"x-api-key", b"nb-aaaa")],
        [(b"x-api-key", b"nb-a-" + b"b" * 1000)],
    ],
)
def test_what_is_no_key_of_ours_is_none(headers: list[tuple[bytes, bytes]]) -> None:
    assert read_credential(headers) is None


def test_a_placeholder_in_one_header_does_not_hide_the_key_in_another() -> None:
    made = new_credential()

    assert read_credential([(b"authorization", b"Bearer none"), (b"x-api-key", str(made).encode())]) == made


def test_a_key_is_known_by_its_secret_and_not_by_its_id_alone(tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "k.yaml", a={}, b={})
    ring = Keyring(read_keys(str(tmp_path / "k.yaml")))
    a, b = sent(keys["a"]), sent(keys["b"])

    assert ring.find(a, NOW).name == "a"
    for wrong in (Credential(a.id, b.secret), Credential("0" * 12, a.secret), Credential(a.id, "\xe9")):
        with pytest.raises(InvalidRequestError) as caught:
            ring.find(wrong, NOW)
        assert (caught.value.problem.status, caught.value.problem.code) == (401, "invalid_api_key")
        assert wrong.secret not in str(caught.value)


def test_a_key_ends_when_it_expires(tmp_path: Path) -> None:
    keys = write_keys(tmp_path / "k.yaml", a={"expires": "2026-06-02"})
    ring = Keyring(read_keys(str(tmp_path / "k.yaml")))

    assert ring.find(sent(keys["a"]), NOW + 86_399).name == "a"
    with pytest.raises(InvalidRequestError, match="expired"):
        ring.find(sent(keys["a"]), NOW + 86_400)


def test_after_a_rotation_both_keys_are_taken_until_the_grace_is_over(tmp_path: Path) -> None:
    old, new = new_credential("a" * 12), new_credential("a" * 12)
    (tmp_path / "k.yaml").write_text(
        f"keys: {{a: {{id: {'a' * 12}, hash: '{hash_secret(new.secret)}', "
        f"previous_hash: '{hash_secret(old.secret)}', previous_until: 2026-06-02T00:00:00Z}}}}"
    )
    ring = Keyring(read_keys(str(tmp_path / "k.yaml")))

    assert ring.find(old, NOW).name == ring.find(new, NOW).name == ring.find(new, NOW + 90_000).name == "a"
    with pytest.raises(InvalidRequestError):
        ring.find(old, NOW + 90_000)


def test_a_folder_has_one_file_for_each_key_as_mounted_secrets_do(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "team-a").write_text(KEY)
    (tmp_path / "team-b.yaml").write_text(KEY.replace("a" * 12, "b" * 12) + "models: [m]\n")

    keys = read_keys(str(tmp_path))

    assert {name: key.models for name, key in keys.items()} == {"team-a": ("*",), "team-b": ("m",)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("keys: {a: {id: x, hash: nb-real-secret}}", ["keys.a.id", "keys.a.hash"]),
        ("keys: {a: {}}", ["keys.a.id: is missing", "keys.a.hash: is missing"]),
        (f"keys:\n  a: {{id: {'a' * 12}, hash: '{HASH}', tokens_per_day: -1}}", ["keys.a.tokens_per_day: is -1"]),
        (f"keys:\n  a: {{id: {'a' * 12}, hash: '{HASH}', modles: [m]}}", ["did you mean models"]),
        (f"keys:\n  a: {{id: {'a' * 12}, hash: '{HASH}', previous_hash: '{HASH}'}}", ["previous_until"]),
        (f"keys:\n  a: {{id: {'a' * 12}, hash: '{HASH}'}}\n  b: {{id: {'a' * 12}, hash: '{HASH}'}}", ["another key"]),
        ("keys:\n  a: {}\n  a: {}\n", ["'a' stands twice (line 3)"]),
        ("keys: {a: [nb-real-secret", ["is not YAML"]),
        ("- a", ["holds a list"]),
        ("", ["is empty", "keys: {}"]),
    ],
)
def test_a_fault_of_the_file_is_told_by_its_place_and_quotes_no_secret(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    (tmp_path / "k.yaml").write_text(text)

    with pytest.raises(SettingsError) as caught:
        read_keys(str(tmp_path / "k.yaml"))

    assert all(part in str(caught.value) for part in told), caught.value
    assert "nb-real-secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["x" * 300, "a\0b"])
def test_a_place_that_no_file_can_have_is_told_as_one_that_cannot_be_read(path: str) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_keys(path)
