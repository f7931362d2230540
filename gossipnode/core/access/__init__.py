"""Who may do what: roles of clients and names of members, by the names in certificates."""
