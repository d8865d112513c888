"""`manage.py createdemo`: somebody who may read the reports, for a first look only."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Create the user demo (password demo, may use the admin). Running it again changes nothing."

    def handle(self, **options):
        if not settings.DEBUG:
            raise CommandError("A user whose password everybody knows is for DEBUG=True only.")
        user, is_new = get_user_model().objects.get_or_create(
            username="demo", defaults={"is_staff": True, "is_superuser": True}
        )
        if is_new:
            user.set_password("demo")
            user.save()
        self.stdout.write(self.style.SUCCESS("User demo (password demo) is there."))
