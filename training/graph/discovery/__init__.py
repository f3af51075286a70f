"""Finding meta-paths without labels: enumerate from the schema, discard by statistics, race on held-out links, mix.

Nothing is imported here, so that reading a configuration loads no numba; begin at
:func:`training.graph.discovery.search.find_meta_paths`.
"""
