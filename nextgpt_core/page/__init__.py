"""The Gradio page: chat, its API, and what a visitor's conversation is here.

`state` holds a conversation as plain values, `lane` runs the model one turn at a time, `view` turns a conversation into
what the browser shows, `handlers` answer the page's events, `layout` puts the page together. The page knows the model
by `chat` and `config` only.
"""
