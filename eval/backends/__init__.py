"""How a variant is asked: in this process, by a vLLM server, or over an OpenAI-compatible API (`eval.answers`)."""
