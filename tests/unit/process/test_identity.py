"""Users and groups: names and numbers, and what becoming somebody means. Dropping for real: tests/integration."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from uwsgi_deploy.config.settings import IdentitySettings
from uwsgi_deploy.errors import ConfigError
from uwsgi_deploy.process import identity
from uwsgi_deploy.process.identity import UNCHANGED, Identity, resolve_identity, resolve_owner

NOBODY = pwd.getpwnam("nobody")


def test_nothing_asked_nothing_changed() -> None:
    """Without uid and gid the server stays who it is."""
    assert resolve_identity(IdentitySettings()) == Identity()
    assert Identity().owner is None
    assert identity.assume(Identity()) == []


def test_user_brings_its_group() -> None:
    """A user alone also means its primary group and its name for supplementary groups."""
    wanted = Identity(NOBODY.pw_uid, NOBODY.pw_gid, "nobody")
    assert resolve_identity(IdentitySettings(uid="nobody")) == wanted
    assert resolve_identity(IdentitySettings(uid=str(NOBODY.pw_uid))) == wanted
    assert wanted.owner == (NOBODY.pw_uid, NOBODY.pw_gid)


def test_group_alone() -> None:
    """A group without a user changes the group only."""
    root = grp.getgrgid(0).gr_name
    assert resolve_identity(IdentitySettings(gid=root)) == Identity(gid=0)
    assert Identity(gid=0).owner == (UNCHANGED, 0)


def test_number_without_entry() -> None:
    """Containers run under numbers that no passwd file knows."""
    assert resolve_identity(IdentitySettings(uid="54321", gid="54322")) == Identity(54321, 54322, None)
    assert resolve_identity(IdentitySettings(uid="54321")) == Identity(54321, None, None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (IdentitySettings(uid="no-such-user"), "uid: there is no user 'no-such-user'"),
        (IdentitySettings(gid="no-such-group"), "gid: there is no group 'no-such-group'"),
        (IdentitySettings(uid="-1"), "uid: there is no user '-1'"),
    ],
)
def test_unknown_names(settings: IdentitySettings, message: str) -> None:
    """A wrong name is said with its option."""
    with pytest.raises(ConfigError, match=message):
        resolve_identity(settings)


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("nobody", (NOBODY.pw_uid, UNCHANGED)),
        ("12:34", (12, 34)),
        (":34", (UNCHANGED, 34)),
        ("nobody:", (NOBODY.pw_uid, UNCHANGED)),
    ],
)
def test_owner(text: str, owner: tuple[int, int]) -> None:
    """chown-socket takes user, user:group and :group."""
    assert resolve_owner(text, "chown-socket") == owner


def test_owner_unknown() -> None:
    """Its mistakes are said with its name."""
    with pytest.raises(ConfigError, match="chown-socket: there is no group 'x'"):
        resolve_owner("0:x", "chown-socket")


def test_only_root_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user may name itself and its own groups, nobody else."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [1000, 33])
    assert identity.assume(Identity(1000, 1000, "me")) == []
    assert identity.assume(Identity(None, 33)) == []
    with pytest.raises(ConfigError, match="uid: only root may change from 1000 to 33"):
        identity.assume(Identity(33, 33, "www-data"))
    assert identity.root_warnings() == []
