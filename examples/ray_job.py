"""The service from a Ray job, through its deployment handle.

Start the service first (`make serve`), then:

    .venv/bin/python examples/ray_job.py                          # a driver in a second shell
    .venv/bin/ray job submit -- "$PWD/.venv/bin/python" "$PWD/examples/ray_job.py"
"""

import asyncio

import ray
from ray import serve


async def main() -> None:
    """Ask three things at once."""
    router = serve.get_app_handle("neverblank")
    questions = ["What is the capital of Italy?", "Name a river in Egypt.", "What colour is snow?"]
    answers = await asyncio.gather(*(router.infer.remote({"text": text, "max_tokens": 24}) for text in questions))
    for question, answer in zip(questions, answers, strict=True):
        print(f"{question} {answer['result']} ({answer['served_by']}: {answer['model']})")


if __name__ == "__main__":
    ray.init(address="auto", log_to_driver=False)
    asyncio.run(main())
