"""OpenAI's Responses, as upstreams speak them: a request in, an answer out.

body.py    the body of a request: tools, forms, sampling, reasoning
items.py   its items, from the turns of a conversation
events.py  from events and whole responses to the chunks and completions of chats, which `ChunkReader` reads
quirks.py  what an upstream of this format does not take
"""
