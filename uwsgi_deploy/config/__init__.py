"""From text to `Settings`: where options come from, which wins, what a wrong one is told. Starts nothing.

`settings/` declares the options, `schema` derives their names, `sources/` reads them, `expand` and `logic` resolve
variables and conditions, `convert` turns text into values, `build` decides. `build.build` is what the rest calls.
"""
