"""Create, read, update and delete notes."""

from flask import Blueprint, Response, abort, request, url_for

from notes_api.db import get_db

blueprint = Blueprint("notes", __name__)

LARGEST_ID = 2**63 - 1  # what SQLite can store
ONE_NOTE = f"/<int(max={LARGEST_ID}):note_id>"


@blueprint.get("/")
def list_notes():
    limit = clamp(request.args.get("limit", 50, type=int), 0, 200)
    offset = clamp(request.args.get("offset", 0, type=int), 0, LARGEST_ID)
    rows = get_db().execute("SELECT * FROM note ORDER BY id LIMIT ? OFFSET ?", (limit, offset))
    return {"notes": [dict(row) for row in rows]}


@blueprint.post("/")
def create_note():
    note = read_note()
    with get_db() as db:
        note_id = db.execute("INSERT INTO note (title, body) VALUES (:title, :body)", note).lastrowid
    return find_note(note_id), 201, {"Location": url_for("notes.show_note", note_id=note_id)}


@blueprint.get(ONE_NOTE)
def show_note(note_id):
    return find_note(note_id)


@blueprint.put(ONE_NOTE)
def update_note(note_id):
    note = read_note() | {"id": find_note(note_id)["id"]}
    with get_db() as db:
        db.execute("UPDATE note SET title = :title, body = :body WHERE id = :id", note)
    return find_note(note_id)


@blueprint.delete(ONE_NOTE)
def delete_note(note_id):
    with get_db() as db:
        deleted = db.execute("DELETE FROM note WHERE id = ?", (note_id,)).rowcount
    if not deleted:
        abort(404, f"There is no note {note_id}.")
    response = Response(status=204)
    del response.headers["Content-Type"]  # there is no content that it could be the type of
    return response


def clamp(number, low, high):
    return max(low, min(number, high))


def find_note(note_id):
    row = get_db().execute("SELECT * FROM note WHERE id = ?", (note_id,)).fetchone()
    if row is None:
        abort(404, f"There is no note {note_id}.")
    return dict(row)


def read_note():
    """Return title and body of the note in the request; anything else is the client's mistake (400)."""
    data = request.get_json()
    if not isinstance(data, dict):
        abort(400, "Send a JSON object.")
    title, body = data.get("title"), data.get("body", "")
    if not isinstance(title, str) or not title.strip():
        abort(400, "A note needs a title.")
    if not isinstance(body, str):
        abort(400, "The body of a note is text.")
    return {"title": title.strip(), "body": body}
