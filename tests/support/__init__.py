"""What tests share: a server in a child process, a raw client, waiting with deadlines, and small WSGI applications."""
