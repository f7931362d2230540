"""One module for each proto service. It decodes, checks, calls a lower room and encodes, and decides nothing.

Begin with `node_service.py`, which the command line calls, or `property_service.py`, the compatible one.
`import_call.py` and `record_sender.py` carry the streams that these two share.
"""
