"""The blog and the notes of example_projects in one server, each with uploads, a stream and a large download."""
