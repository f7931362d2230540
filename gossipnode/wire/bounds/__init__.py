"""What bounds the cost of reading a message, before objects are made of it.

`message_bounds` is the table, which the strict reader of betterproto's messages keeps as it reads;
`element_count` keeps it for what Google's runtime reads.
"""
