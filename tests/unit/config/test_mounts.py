"""What mount accepts, and what goes with it."""

from __future__ import annotations

import pytest

from tests.unit.config.support import configure, refusal
from uwsgi_deploy.config.mounts import Mount, mounts_of


@pytest.mark.parametrize(
    ("value", "point", "application", "is_file"),
    [
        ("/shop=shop.wsgi:app", "/shop", "shop.wsgi:app", False),
        (" /shop = shop.wsgi:app ", "/shop", "shop.wsgi:app", False),
        ("/shop/=/srv/shop.py", "/shop/", "/srv/shop.py", True),
        ("/shop=shop/app.wsgi", "/shop", "shop/app.wsgi", True),
        ("/=site:app", "", "site:app", False),
        ("site:app", "", "site:app", False),
        ("/srv/site.py", "", "/srv/site.py", True),
        ("/shop=shop:make(debug=True)", "/shop", "shop:make(debug=True)", False),
        ("shop:make(debug=True)", "", "shop:make(debug=True)", False),
    ],
)
def test_mount_is_read(value: str, point: str, application: str, is_file: bool) -> None:
    (mount,) = mounts_of([value])
    assert (mount, mount.is_file) == (Mount(point, application), is_file)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("shop=shop:app", "needs /path=application, not 'shop=shop:app'"),
        ("/shop=", "needs an application: /shop=package.module:callable"),
        ("example.com|/shop=shop:app", "mounting by host name (vhost) is not supported"),
    ],
)
def test_refusals(value: str, says: str) -> None:
    message = refusal("--mount", value)
    assert "'mount'" in message
    assert says in message


def test_two_applications_for_one_path_are_refused() -> None:
    assert "has two applications for '/a/'" in refusal("--mount=/a=x:app", "--mount=/a/=y:app")


def test_mounts_are_in_order_under_both_names() -> None:
    settings = configure("--mount=/a=x:app", "--worker-mount=/b=y:app", "--manage-script-name").settings.application
    assert settings.mount == ("/a=x:app", "/b=y:app")
    assert settings.manage_script_name


def test_http_clients_cannot_name_a_mount_point() -> None:
    def warned(*options: str) -> bool:
        warnings = configure("--mount=/a=x:app", *options).warnings
        return any("manage-script-name" in warning for warning in warnings)

    assert warned("--http-socket=:1")
    assert not warned("--http-socket=:1", "--manage-script-name")
    assert not warned("--socket=:1")
