"""What stays on disk, whose it is, and for how long: conversations, uploads, exports and what is shared."""
