"""Internal routing at work: rules about requests and responses, run around the application.

`front.py` is what the worker sees of it. Loaded only where rules are set.
"""
