"""Keys of the service: shown once, kept as a hash, revoked for good."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from padim.errors import PadimError
from padim.records.api_keys import KEY_PREFIX, ApiKeys
from padim.records.database import RecordsDatabase
from padim.records.schema import API_KEYS

ON_EACH_DATABASE = True


def test_a_key_is_known_until_it_is_revoked(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path)
    assert keys.all() == []
    assert keys.name_of(KEY_PREFIX + "x") is None
    key = keys.add("  line 3 ", "Anna")
    other = keys.add("robot", "Anna")
    assert key.startswith(KEY_PREFIX)
    assert key != other
    assert keys.name_of(key) == "line 3"
    revoked = keys.revoke("line 3")
    assert revoked.revoked is not None
    assert keys.revoke("line 3").revoked == revoked.revoked
    assert keys.name_of(key) is None
    assert keys.name_of(other) == "robot"
    assert [(one.name, one.who, one.revoked is None) for one in keys.all()] == [
        ("line 3", "Anna", False),
        ("robot", "Anna", True),
    ]


def test_a_key_itself_is_not_kept(tmp_path: Path) -> None:
    key = ApiKeys(tmp_path).add("line 3", "Anna")
    with RecordsDatabase(tmp_path).reading() as connection:
        assert connection is not None
        row = connection.execute(select(API_KEYS)).one()
    assert not any(key.removeprefix(KEY_PREFIX) in str(value) for value in row)


@pytest.mark.parametrize("name", ["", " \n", "x" * 81])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PadimError, match="1 to 80 characters"):
        ApiKeys(tmp_path).add(name, "Anna")


def test_a_name_is_given_once(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path)
    keys.add("line 3", "Anna")
    keys.revoke("line 3")
    with pytest.raises(PadimError, match="line 3: a key of this name"):
        keys.add("line 3", "Bert")


def test_an_unknown_name_is_said_with_those_that_are_known(tmp_path: Path) -> None:
    keys = ApiKeys(tmp_path)
    with pytest.raises(PadimError, match="there is none"):
        keys.revoke("robot")
    keys.add("line 3", "Anna")
    with pytest.raises(PadimError, match="line 3"):
        keys.revoke("robot")
