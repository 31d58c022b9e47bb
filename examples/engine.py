"""The service from plain Python. Nothing has to be started before it: .venv/bin/python examples/engine.py."""

import asyncio

from deployments import InferenceEngine


async def main() -> None:
    """Ask a model that does not exist, then whoever is the default."""
    engine = InferenceEngine()
    result = await engine.run_inference("my_model", {"text": "Hello"})  # unknown: the backup answers
    print(result["served_by"], "-", result["result"])

    result = await engine.execute_inference({"text": "Hello"})
    assert len(result["result"]) > 0
    print(result["served_by"], "-", result["result"])


if __name__ == "__main__":
    asyncio.run(main())
