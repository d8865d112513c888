"""Addresses of the blog."""

from django.urls import path

from blog import views

urlpatterns = [
    path("", views.PostList.as_view(), name="post-list"),
    path("write/", views.PostCreate.as_view(), name="post-create"),
    path("posts/<slug:slug>/", views.PostDetail.as_view(), name="post-detail"),
]
