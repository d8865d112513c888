"""The command line: arguments in, one sentence or a running server out. Holds no rule of its own.

For the framework adapters: `options.ServerCommand` with `options.click_options` (click), and
`argparse_options.add_arguments` (argparse); both give the server's explicit options back as arguments for
`uwsgi_deploy.replace_process`.
"""
