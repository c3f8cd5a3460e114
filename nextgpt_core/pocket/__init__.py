"""How the embedded decoders were made: the catalog of concepts, the data, and the diffusion training.

Nothing here is needed to chat. It needs what `requirements-dev.txt` adds, and reads packages by name from the
registries that `pip` and `npm` are set up for.
"""
