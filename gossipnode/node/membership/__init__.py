"""Who is a member and which groups there are: changed, spread, compared."""
