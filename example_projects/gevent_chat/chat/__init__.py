"""A chat room: messages are posted as JSON and come to all listeners as server-sent events."""

from flask import Flask, Response, jsonify, render_template, request

from chat.room import Room
from uwsgi_deploy import harakiri

LONGEST_NAME, LONGEST_TEXT = 30, 500


def create_app():
    """Make the application with an empty room."""
    app = Flask(__name__)
    room = Room()

    @app.get("/")
    def page():
        return render_template("chat.html", name=LONGEST_NAME, text=LONGEST_TEXT)

    @app.post("/messages")
    def post():
        content = request.get_json()
        name, text = (str(content.get(key, "")).strip() for key in ("name", "text"))
        if not name or not text or len(name) > LONGEST_NAME or len(text) > LONGEST_TEXT:
            return jsonify(error=f"A name of 1 to {LONGEST_NAME} and a text of 1 to {LONGEST_TEXT} characters."), 400
        return jsonify(id=room.say(name, text), listeners=room.listeners), 201

    @app.get("/events")
    @harakiri(None)  # it lasts as long as the listener stays
    def events():
        # A browser that connects again says what it has seen last.
        seen = request.headers.get("Last-Event-ID", "")
        stream = room.listen(after=int(seen) if seen.isdigit() else 0)
        # X-Accel-Buffering: an nginx in front must not collect the events.
        return Response(stream, mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})

    return app
