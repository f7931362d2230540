"""What a request is refused for: the checks, the errors, and the gRPC status that each error becomes.

Begin with `request_errors.py`. `error_status.py` has the table of statuses.
"""
