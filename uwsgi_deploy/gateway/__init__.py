"""Gateways: processes that meet the clients and pass their requests on to workers or other servers."""
