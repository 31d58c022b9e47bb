"""Anthropic's Messages, as upstreams speak them: a request in, an answer out.

body.py    the body of a request: tools, forms, sampling, thinking
turns.py   its messages, from the turns of a conversation
parts.py   the parts of those
events.py  from events and whole messages to the chunks and completions of chats, which `ChunkReader` reads
quirks.py  what an upstream of this format does not take
"""
