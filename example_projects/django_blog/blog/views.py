"""Pages of the blog."""

from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.messages.views import SuccessMessageMixin
from django.views.generic import CreateView, DetailView, ListView

from blog.forms import PostForm
from blog.models import Post


class PostList(ListView):
    queryset = Post.objects.select_related("author")
    paginate_by = 20


class PostDetail(DetailView):
    queryset = Post.objects.select_related("author")

    def get_context_data(self, **kwargs):
        """Count in the session how many posts this visitor has opened."""
        session = self.request.session
        session["posts_read"] = session.get("posts_read", 0) + 1
        return super().get_context_data(**kwargs)


class PostCreate(LoginRequiredMixin, SuccessMessageMixin, CreateView):
    form_class = PostForm
    template_name = "blog/post_form.html"
    success_message = "“%(title)s” is published."

    def form_valid(self, form):
        form.instance.author = self.request.user
        return super().form_valid(form)
