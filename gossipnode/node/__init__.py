"""The running node: who starts, who stops, who is told. Trio's nurseries live here."""
