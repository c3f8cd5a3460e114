"""Every word that the page says, a file a language. Keys are shared by all; `{name}` is filled in where it is used."""
