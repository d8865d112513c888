"""What a router's processes need is looked at before anything is opened."""

from __future__ import annotations

import os

import pytest

from uwsgi_deploy import ConfigError, settings_from
from uwsgi_deploy.master.gateway_sockets import check_gateways


@pytest.mark.parametrize("option", ["http-uid", "http-gid"])
def test_who_is_not_root_is_told_which_option_asks_for_more(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """`uid` may not have been written at all."""
    settings = settings_from(**{"http": ":8000", option.replace("-", "_"): "0"})
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setattr(os, "getegid", lambda: 65534)
    monkeypatch.setattr(os, "getgroups", lambda: [])
    with pytest.raises(ConfigError, match=f"^{option}: only root may change from 65534 to 0"):
        check_gateways(settings)
