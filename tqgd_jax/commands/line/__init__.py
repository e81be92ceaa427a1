"""How every command reads its words, and ends."""
