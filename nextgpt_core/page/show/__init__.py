"""HTML: a conversation, its media, and the frame around them. Everything that anybody wrote is escaped here."""
