"""What the index page says about each view."""

from dataclasses import dataclass

from django.urls import reverse


@dataclass(frozen=True)
class Way:
    """A way to take too long. name: of the URL; does: the view; expect: what the visitor and the report show."""

    name: str
    does: str
    expect: str
    arguments: tuple[str, ...] = ()

    @property
    def url(self):
        """Where it is."""
        return reverse(self.name, args=self.arguments)


TIMED_OUT = "504 after 3 s"
KILLED = "504 after 5 s; the worker is replaced"

HANGING = (
    Way("sleep", "waits in time.sleep()", TIMED_OUT),
    Way("loop", "counts in Python for ever", f"{TIMED_OUT}; waits on: CPU"),
    Way("regex", "a regular expression that backtracks and holds the interpreter", TIMED_OUT),
    Way("lock", "a threading.Lock that nobody releases", f"{TIMED_OUT}; waits on: lock"),
    Way("socket", "reads from a peer that says nothing", TIMED_OUT),
    Way("http", "asks an HTTP server that does not answer", f"{TIMED_OUT}; the report names the server", ("books",)),
    Way(
        "sql",
        "one statement of SQLite that counts to a billion",
        f"{TIMED_OUT}; the report shows the statement, which is ended in the database",
    ),
    Way("many-queries", "quick queries without end", f"{TIMED_OUT}; the report counts them; the transaction is undone"),
    Way("sqlite-lock", "a database that another connection has locked", KILLED),
    Way("subprocess", "waits for another program", TIMED_OUT),
    Way("template", "a template with loops in loops", f"{TIMED_OUT}; a frame of django.template"),
    Way("stream", "a response that stops in the middle", "the page breaks off after 3 s; outcome: cut"),
    Way("stubborn", "catches every exception, the timeout too", f"{KILLED}; kind: hard"),
)
ALLOWED = (
    Way("soft", "takes two seconds", "a page, and a report of kind soft half-way"),
    Way("patient", "takes four seconds; @harakiri(10) allows ten", "a page"),
    Way("export", "takes four seconds; harakiri-routes allows its URL name eight", "a page"),
    Way("exempt", "takes four seconds; harakiri-routes switches the limit off for its path", "a page"),
    Way("partial", "gives a slow part one second with deadline(1), and answers without it", "a page, after 1 s"),
)
