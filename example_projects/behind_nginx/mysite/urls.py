"""Addresses of the site."""

from django.urls import path
from pages import views

urlpatterns = [
    path("", views.front, name="front"),
    path("upload/", views.upload, name="upload"),
    path("clock/", views.clock, name="clock"),
]
