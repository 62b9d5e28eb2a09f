"""API keys: looked up by digest in constant time, from a setting and from a file that may change."""

import json
import os
from pathlib import Path

import pytest

from service.http.api_keys import ANYONE, ApiKeys, BadKeys, digest_of, main, parse_list
from tests.support.service import Serve
from tests.support.waiting import eventually


def entry(name: str, key: str, *scopes: str) -> dict[str, object]:
    return {"name": name, "sha256": digest_of(key).hex(), "scopes": list(scopes)}


def write(path: Path, *entries: dict[str, object]) -> Path:
    """Replace the file as a whole, as an operator should."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"keys": entries}))
    return new.replace(path)


def names(keys: ApiKeys, *given: str) -> list[str | None]:
    found = (keys.caller(f"Bearer {key}") for key in given)
    return [caller.name if caller else None for caller in found]


def test_a_key_is_found_by_its_bearer_header_alone() -> None:
    keys = ApiKeys(parse_list("web:s3cret:score, ops:0ther:candidates+admin"))
    caller = keys.caller("Bearer s3cret")
    assert caller is not None
    assert (caller.name, caller.scopes) == ("web", frozenset({"score"}))
    assert [keys.caller(each) for each in (None, "", "s3cret", "Basic s3cret", "Bearer S3cret", "Bearer é")] == [
        None
    ] * 6


def test_without_keys_every_caller_has_every_scope() -> None:
    caller = ApiKeys().caller(None)
    assert caller is not None
    assert (caller.name, len(caller.scopes)) == (ANYONE, 3)


@pytest.mark.parametrize("spec", ["web", "web:s3cret", "web:s3cret:fly", ":s3cret:score", "web::score", "a:s3cret:b:c"])
def test_an_invalid_list_of_keys_is_an_error_that_does_not_repeat_them(spec: str) -> None:
    with pytest.raises(BadKeys, match="FITSCORE_API_KEYS: entry 1") as raised:
        parse_list(spec)
    assert "s3cret" not in str(raised.value)


def test_every_key_is_compared_in_full_for_any_given_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ApiKeys(parse_list("a:one:score,b:two:score,c:three:score"))
    compared: list[bytes] = []

    def compare(known: bytes, given: bytes) -> bool:
        compared.append(known)
        return known == given

    monkeypatch.setattr("service.http.api_keys.hmac.compare_digest", compare)
    for given in ("one", "three", "none"):
        compared.clear()
        keys.caller(f"Bearer {given}")
        assert len(compared) == 3


def test_keys_of_a_file_are_rotated_without_a_gap(tmp_path: Path) -> None:
    file = write(tmp_path / "keys", entry("web", "old", "score"))
    keys = ApiKeys(parse_list("ops:0ther:admin"), file)
    assert names(keys, "old", "new", "0ther") == ["web", None, "ops"]
    write(file, entry("web", "old", "score"), entry("web", "new", "score"))
    assert keys.refresh()
    assert names(keys, "old", "new") == ["web", "web"]
    write(file, entry("web", "new", "score"))
    assert keys.refresh()
    assert not keys.refresh()
    assert names(keys, "old", "new", "0ther") == [None, "web", "ops"]


def test_a_file_without_keys_rejects_every_caller(tmp_path: Path) -> None:
    keys = ApiKeys(file=write(tmp_path / "keys"))
    assert keys.caller(None) is None
    assert names(keys, "") == [None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s3cret",
        '{"keys": {}}',
        '{"keys": [{"name": "web", "key": "s3cret", "scopes": ["score"]}]}',
        '{"keys": [{"name": "web", "sha256": "s3cret", "scopes": ["score"]}]}',
        json.dumps({"keys": [entry("web", "a", "fly")]}),
        json.dumps({"keys": [entry("web", "a")]}),
        json.dumps({"keys": [entry("s3cret web\n", "a", "score")]}),
        json.dumps({"keys": [], "s3cret": 1}),
    ],
)
def test_an_invalid_file_changes_nothing_and_is_not_repeated(tmp_path: Path, text: str) -> None:
    file = write(tmp_path / "keys", entry("web", "old", "score"))
    keys = ApiKeys(file=file)
    file.write_text(text)
    with pytest.raises(BadKeys, match="is not valid") as raised:
        keys.refresh()
    assert "s3cret" not in str(raised.value)
    assert names(keys, "old") == ["web"]


def test_a_missing_file_or_a_folder_changes_nothing(tmp_path: Path) -> None:
    file = write(tmp_path / "keys", entry("web", "old", "score"))
    keys = ApiKeys(file=file)
    file.unlink()
    with pytest.raises(BadKeys, match="No such file"):
        keys.refresh()
    file.mkdir()
    with pytest.raises(BadKeys, match="cannot be read"):
        keys.refresh()
    os.rmdir(file)
    with file.open("wb") as huge:
        huge.truncate(1 << 40)
    with pytest.raises(BadKeys):
        keys.refresh()
    assert names(keys, "old") == ["web"]


def test_the_running_service_reloads_the_file(tmp_path: Path, serve: Serve) -> None:
    file = write(tmp_path / "keys", entry("web", "old", "score"))
    client = serve(keys_file=file).client
    old, new = ({"Authorization": f"Bearer {key}"} for key in ("old", "new"))
    assert client.post("/score", headers=new, json={}).status_code == 401
    write(file, entry("web", "new", "score"))
    eventually(lambda: client.post("/score", headers=new, json={}).status_code != 401)
    assert client.post("/score", headers=new, json={}).status_code == 422
    assert client.post("/score", headers=old, json={}).status_code == 401


ROUTES = {
    "score": [("POST", "/score"), ("POST", "/rerank"), ("POST", "/v1/rerank"), ("POST", "/v2/rerank")],
    "candidates": [("PUT", "/candidates"), ("GET", "/candidates:progress"), ("DELETE", "/candidates/a")],
    "admin": [
        ("GET", "/v1/models"),
        ("POST", "/v1/models/1:activate"),
        ("POST", "/v1/models/1:rollback"),
        ("POST", "/v1/models/1:shadow"),
        ("POST", "/v1/models/1:canary"),
    ],
}


def test_each_route_requires_its_scope_and_no_path_bypasses_it(serve: Serve) -> None:
    client = serve(api_keys=",".join(f"{scope}:k-{scope}:{scope}" for scope in ROUTES)).client
    for scope, routes in ROUTES.items():
        for method, path in routes:
            for other in ROUTES:
                answer = client.request(method, path, headers={"Authorization": f"Bearer k-{other}"}, json={})
                assert (answer.status_code == 403) == (other != scope), (method, path, other)
            assert client.request(method, path, json={}).status_code == 401
    for path in ("//score", "/score/", "/SCORE", "/v1/models/", "/%76%31/models", "/livez/../score", "/x"):
        assert client.post(path, json={}).status_code == 401, path


def test_the_command_makes_a_valid_key(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["web", "score", "admin"]) == 0
    printed = capsys.readouterr()
    key = printed.err.split()[-1]
    keys = ApiKeys(file=write(tmp_path / "keys", json.loads(printed.out)))
    assert names(keys, key, key[:-1]) == ["web", None]
    assert key not in printed.out
    assert main(["web", "fly"]) == 2
