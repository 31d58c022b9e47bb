// Asking the service: the key that goes with a request, and the events of an answer.
import { element } from "./console-dom.js";

export const keyHeaders = () => {
  const key = element("key").value.trim();
  return key ? { authorization: `Bearer ${key}` } : {};
};

export async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    left += value;
    const blocks = left.split("\n\n");
    left = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("");
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}
