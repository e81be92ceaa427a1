"""How the commands read their words and end."""
