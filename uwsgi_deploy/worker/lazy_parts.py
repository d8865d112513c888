"""Load in the template what frameworks leave to the first request: each worker would make it for itself.

Regular expressions are the largest part of it, for their compiler alone writes to two hundred pages. Nothing of the
project's is called but what Django calls to find out which URLs there are. Knows frameworks by what was imported only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

_REGEX_HELPER = "_lazy_re_compile"
# Modules of Django with expressions that most requests need.
_ON_THE_WAY = ("django.http.request", "django.utils.cache", "django.utils.http", "django.urls.resolvers")


def load_lazy_parts() -> None:
    """Load the URLs of Django with all views that they import, what `reverse` needs, and expressions that wait.

    Raises what the project's own code raises; Django shows such an error with each request, too.
    """
    urls = sys.modules.get("django.urls")
    if urls is None or not is_django_used():
        return
    resolver = urls.get_resolver()
    resolver.url_patterns  # noqa: B018  a cached property
    resolver.reverse_dict  # noqa: B018  of the default language: compiles the expression of each pattern
    for expression in _waiting_expressions():
        expression.pattern  # noqa: B018  the first look at an expression compiles it


def is_django_used() -> bool:
    """Whether it has settings. Libraries such as Sentry's import Django wherever it is installed."""
    return "DJANGO_SETTINGS_MODULE" in os.environ or bool(sys.modules["django.conf"].settings.configured)


def _waiting_expressions() -> Iterator[Any]:
    """Django's own that were not used yet; a look at what else is lazy there might call anything."""
    for module in filter(None, map(sys.modules.get, _ON_THE_WAY)):
        for value in [*vars(module).values()]:
            if getattr(_set_up_of(value), "__qualname__", "").startswith(_REGEX_HELPER):
                yield value


def _set_up_of(value: object) -> object:
    if type(value).__name__ != "SimpleLazyObject":
        return None
    attributes: dict[str, object] = object.__getattribute__(value, "__dict__")
    return attributes.get("_setupfunc")
