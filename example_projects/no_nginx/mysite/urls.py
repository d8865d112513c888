"""Addresses of the site. Static files are not among them: the server sends them before Django is asked."""

from django.contrib import admin
from django.urls import path

from guestbook.views import Guestbook

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", Guestbook.as_view(), name="guestbook"),
]
