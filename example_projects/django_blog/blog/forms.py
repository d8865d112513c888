"""The form that writes a post."""

from django import forms
from django.utils.text import slugify

from blog.models import Post


class PostForm(forms.ModelForm):
    """Title and body; the address of the post is made from its title."""

    class Meta:
        model = Post
        fields = ["title", "body"]

    def clean_title(self):
        title = self.cleaned_data["title"]
        slug = slugify(title)[:50]
        if not slug:
            raise forms.ValidationError("A title needs at least one letter or digit.")
        if Post.objects.filter(slug=slug).exists():
            raise forms.ValidationError("There is a post with this title already.")
        self.instance.slug = slug
        return title
