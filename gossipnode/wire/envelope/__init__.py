"""betterproto's messages, read strictly and written quickly. No other room imports from here.

`tables` knows betterproto's private parts, `strict` reads bytes by them, `encode` writes bytes by them.
"""
