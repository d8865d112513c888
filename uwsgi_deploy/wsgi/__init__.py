"""A request and an application: environ, body, response, life cycle. Knows no process."""
