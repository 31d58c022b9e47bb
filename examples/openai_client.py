"""The service through OpenAI's own client: `pip install openai`, and `make serve` first."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ.get("NEVERBLANK_URL", "http://127.0.0.1:8000") + "/v1", api_key="none")

answer = client.chat.completions.create(
    model="smollm2", messages=[{"role": "user", "content": "What is the capital of France?"}], max_tokens=24
)
print(answer.model, "says:", answer.choices[0].message.content)

stream = client.chat.completions.create(
    model="no-such-model",  # the backup answers
    messages=[{"role": "user", "content": "Name three colours."}],
    max_tokens=24,
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
print(f"\n({chunk.model}, {chunk.usage})")
