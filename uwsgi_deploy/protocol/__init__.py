"""Codecs: pure functions from bytes to requests and from status and headers to bytes. Nothing here touches a socket."""
