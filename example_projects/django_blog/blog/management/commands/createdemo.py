"""`manage.py createdemo`: something to look at, for a first look only."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from blog.models import Post

POSTS = {
    "hello-world": ("Hello, world", "This page was made by Django and served by uwsgi-deploy."),
    "two-workers": ("Two workers", "Start the site with `-p 2`: either worker may have answered you."),
    "no-nginx": ("No nginx", "Slow readers do not hold a worker here, so a proxy in front is a choice."),
}


class Command(BaseCommand):
    help = "Create the user demo (password demo, may use the admin) and three posts. Running it again changes nothing."

    def handle(self, **options):
        if not settings.DEBUG:
            raise CommandError("A user whose password everybody knows is for DEBUG=True only.")
        user, is_new = get_user_model().objects.get_or_create(
            username="demo", defaults={"is_staff": True, "is_superuser": True}
        )
        if is_new:
            user.set_password("demo")
            user.save()
        for slug, (title, body) in POSTS.items():
            Post.objects.get_or_create(slug=slug, defaults={"title": title, "body": body, "author": user})
        self.stdout.write(self.style.SUCCESS("User demo (password demo) and three posts are there."))
