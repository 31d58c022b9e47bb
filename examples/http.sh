#!/usr/bin/env bash
# The service over HTTP. Start it first: make serve
set -euo pipefail
url=${NEVERBLANK_URL:-http://127.0.0.1:8000}

echo "# the default model"
curl -sS "$url/v1/infer" -d '{"text": "What is the capital of France?"}'; echo

echo "# a model by name, with a deadline of five seconds"
curl -sS "$url/v1/infer/smollm2" -d '{"prompt": "Name three colours.", "max_tokens": 24, "timeout": 5}'; echo

echo "# a chat"
curl -sS "$url/v1/infer" -d '{"messages": [{"role": "user", "content": "Say hello in one word."}], "max_tokens": 8}'; echo

echo "# a model that does not exist: the backup answers, and says so"
curl -sS -D - "$url/v1/infer/no-such-model" -d '{"text": "Hello", "max_tokens": 16}' | grep -iE '^x-neverblank|result'

echo "# a mistake is explained"
curl -sS "$url/v1/infer" -d '{"text": "Hello", "timeout": -1}'; echo

echo "# piece by piece; the last event holds the whole answer and its trace"
curl -sSN "$url/v1/infer/smollm2" -d '{"text": "Name three colours.", "max_tokens": 16, "stream": true}'

echo "# in OpenAI's format"
curl -sS "$url/v1/chat/completions" -d '{"model": "smollm2", "max_tokens": 16,
  "messages": [{"role": "user", "content": "Say hello in one word."}]}'; echo
