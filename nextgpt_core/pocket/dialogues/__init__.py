"""Conversations to teach the language model: requests in many wordings, their answers, and files to ask about."""
