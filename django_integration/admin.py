"""Reports of late requests in Django's admin: a list with filters and a search, a page for each. Reads, never writes.

Whoever has the permission `uwsgi_deploy.view_harakirireport` may see them; nobody can add, change or delete one here.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path

from django_integration.models import HarakiriReport
from django_integration.report_pages import KINDS, Choice, choices, line_of, matches, page_of
from uwsgi_deploy import KeptReports, ServerError, kept_reports

PER_PAGE = 50
MOST_READ = 2000
"""Reports that one page of the list looks at, the newest; each is a file."""

NAME = "uwsgi_deploy_harakirireport"
TEMPLATES = "admin/uwsgi_deploy/harakirireport"


@admin.register(HarakiriReport)
class HarakiriReportAdmin(admin.ModelAdmin):
    """See the module."""

    def get_urls(self) -> list[Any]:
        """The list, and what is below it; a name of one report is its id."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name=f"{NAME}_changelist"),
            path("<uuid:report_id>/", wrap(self.report_view), name=f"{NAME}_change"),
            path("<uuid:report_id>/json/", wrap(self.json_view), name=f"{NAME}_json"),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    # --- pages --------------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The newest first, narrowed down by `kind`, `route` and the words of `q`."""
        reports = self._reports(request)
        asked = {name: request.GET.get(name, "").strip() for name in ("kind", "route", "q")}
        found = [(report, line_of(report)) for report in islice(reports.reports(), MOST_READ)] if reports else []
        shown = [
            line
            for report, line in found
            if matches(report, line, kind=asked["kind"], route=asked["route"], words=asked["q"])
        ]
        page = Paginator(shown, PER_PAGE).get_page(request.GET.get("p"))
        filters = (
            ("kind", "kind", choices((line.kind for _, line in found), KINDS)),
            ("route", "route", choices(line.route for _, line in found)),
        )
        context = {
            "title": f"{self.opts.verbose_name_plural.capitalize()}",
            "reports": reports,
            "page": page,
            "pages": list(page.paginator.get_elided_page_range(page.number)),
            "query": {name: value for name, value in asked.items() if value},
            "asked": asked,
            "total": len(found),
            "filters": [(title, _links(asked, name, values)) for title, name, values in filters if values],
            "without_page": _query(asked),
        }
        return self._page(request, "change_list", context, extra_context)

    def report_view(self, request: HttpRequest, report_id: object) -> HttpResponse:
        """One report."""
        page = page_of(self._report(request, str(report_id)))
        return self._page(request, "report", {"title": page.title, "report": page})

    def json_view(self, request: HttpRequest, report_id: object) -> HttpResponse:
        """The report as it is kept."""
        report = self._report(request, str(report_id))
        return HttpResponse(json.dumps(report, indent=2, ensure_ascii=False), content_type="application/json")

    def _page(
        self, request: HttpRequest, template: str, context: dict[str, Any], extra: dict[str, Any] | None = None
    ) -> HttpResponse:
        everything = {**self.admin_site.each_context(request), "opts": self.opts, **context, **(extra or {})}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, f"{TEMPLATES}/{template}.html", everything)

    # --- reports ------------------------------------------------------------------------------------------------------

    def _reports(self, request: HttpRequest) -> KeptReports | None:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return kept_reports()

    def _report(self, request: HttpRequest, report_id: str) -> dict[str, Any]:
        reports = self._reports(request)
        if reports is None:
            raise Http404("There is no directory of reports.")
        try:
            return reports.read(report_id)
        except ServerError as error:  # the oldest are removed for new ones
            raise Http404(str(error)) from None


def _links(asked: dict[str, str], name: str, values: list[Choice]) -> list[tuple[str, str, bool]]:
    """(text, query, whether it is chosen) for each value of a filter, and for all of them."""
    everything = ("All", _query({**asked, name: ""}), not asked[name])
    return [
        everything,
        *(
            (f"{value.text} ({value.count})", _query({**asked, name: value.value}), asked[name] == value.value)
            for value in values
        ),
    ]


def _query(asked: dict[str, str]) -> str:
    return "?" + urlencode({name: value for name, value in asked.items() if value})
