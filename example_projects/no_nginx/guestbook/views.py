"""The one page of the guestbook."""

from django.urls import reverse_lazy
from django.views.generic import CreateView

from guestbook.models import Entry


class Guestbook(CreateView):
    """The form, and the latest entries below it."""

    model = Entry
    fields = ["name", "text"]
    template_name = "guestbook/guestbook.html"
    success_url = reverse_lazy("guestbook")

    def get_context_data(self, **context):
        return super().get_context_data(entries=Entry.objects.all()[:50], **context)
