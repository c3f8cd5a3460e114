"""The Gradio page: chat, its API, and what a visitor's conversation is here.

`talk` is a conversation and the one answer under way, `store` what of it stays on disk, `show` what the browser sees,
`api` the ways in for programs. Here lie the page's own parts: `layout` puts it together, `handlers` answer its events,
`actions` are its buttons. The page knows the model by its public face only (`talk.lane.Model`).
"""
