"""One address per way to take too long. The names are what reports and `harakiri-routes` call the views."""

from django.urls import path

from waits import views

urlpatterns = [
    path("", views.index, name="index"),
    path("sleep/", views.sleep, name="sleep"),
    path("loop/", views.loop, name="loop"),
    path("regex/", views.regex, name="regex"),
    path("lock/", views.lock, name="lock"),
    path("socket/", views.read_socket, name="socket"),
    path("http/<slug:shop>/", views.http, name="http"),
    path("sql/", views.sql, name="sql"),
    path("many-queries/", views.many_queries, name="many-queries"),
    path("sqlite-lock/", views.sqlite_lock, name="sqlite-lock"),
    path("subprocess/", views.run_program, name="subprocess"),
    path("template/", views.slow_template, name="template"),
    path("stream/", views.stream, name="stream"),
    path("stubborn/", views.stubborn, name="stubborn"),
    path("soft/", views.only_slow, name="soft"),
    path("patient/", views.patient, name="patient"),
    path("export/", views.export, name="export"),
    path("exempt/", views.exempt, name="exempt"),
    path("partial/", views.partial_answer, name="partial"),
]
