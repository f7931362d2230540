"""What applications and commands hand in and get back: plain values, their checks, and their forms as text.

Begin with `results`, what the library returns, and `given`, which checks its arguments. `expression`,
`property_json`, `tag_arguments` and `timestamps` read and write text, `property_codec` the wire's bytes.
"""
