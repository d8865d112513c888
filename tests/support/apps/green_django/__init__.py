"""A Django project on the database that GREEN_DATABASE (JSON) describes: queries that take time, and who ran them."""
