"""An encoded property: read, checked, edited, and written as the JSON that its digest is taken over.

`payload` checks what peers and clients send, `draft` makes new versions, `property_edit` reads tags.
"""
