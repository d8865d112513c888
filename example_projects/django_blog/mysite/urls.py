"""Addresses of the site."""

from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("django.contrib.auth.urls")),
    path("", include("blog.urls")),
    # Style sheets of the admin while DEBUG is on; in production a web server or WhiteNoise serves them.
    *staticfiles_urlpatterns(),
]
