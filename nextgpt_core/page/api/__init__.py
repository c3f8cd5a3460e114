"""The ways in for programs: gradio_client, OpenAI's chat completions, and MCP."""
