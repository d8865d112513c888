"""Posts in the admin."""

from django.contrib import admin

from blog.models import Post


@admin.register(Post)
class PostAdmin(admin.ModelAdmin):
    list_display = ["title", "author", "created"]
    list_filter = ["created"]
    search_fields = ["title", "body"]
    prepopulated_fields = {"slug": ["title"]}
