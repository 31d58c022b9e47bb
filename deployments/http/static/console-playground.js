// The view "Playground": asks a model, and colours who wrote which part of the answer.
import { element, make, timeline } from "./console-dom.js";
import { eventsOf, keyHeaders } from "./console-wire.js";

const COLOURS = 5;

const asked = () => {
  const body = { text: element("text").value, stream: true };
  const value = (id) => element(id).value.trim();
  if (value("model")) body.model = value("model");
  if (value("timeout")) body.timeout = Number(value("timeout"));
  if (value("temperature")) body.temperature = Number(value("temperature"));
  if (value("max_tokens")) body.max_tokens = Number(value("max_tokens"));
  if (value("tiers")) body.tiers = [value("tiers")];
  return { body, fault: value("fault") };
};

// A program reads the key from the environment, where one was entered: it is never copied.
const KEY = "NEVERBLANK_KEY";

const programs = {
  curl: (url, body, fault, key) => [
    `curl -N ${url} -H 'content-type: application/json'`,
    ...(key ? [`-H "authorization: Bearer $${KEY}"`] : []),
    ...(fault ? [`-H 'x-neverblank-fault: ${fault}'`] : []),
    `-d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`,
  ].join(" \\\n  "),
  python: (url, body, fault, key) => [
    "import json", ...(key ? ["import os"] : []), "import urllib.request", "",
    `body = json.loads(${JSON.stringify(JSON.stringify({ ...body, stream: false }))})`,
    `headers = ${JSON.stringify({ "content-type": "application/json", ...(fault ? { "x-neverblank-fault": fault } : {}) })}`,
    ...(key ? [`headers["authorization"] = "Bearer " + os.environ["${KEY}"]`] : []),
    `request = urllib.request.Request(${JSON.stringify(url)}, json.dumps(body).encode(), headers)`,
    "with urllib.request.urlopen(request) as response:", "    print(json.load(response)[\"result\"])",
  ].join("\n"),
  typescript: (url, body, fault, key) => [
    `const response = await fetch(${JSON.stringify(url)}, {`, "  method: \"POST\",",
    `  headers: { ...${JSON.stringify({ "content-type": "application/json", ...(fault ? { "x-neverblank-fault": fault } : {}) })}${
      key ? `, authorization: "Bearer " + process.env.${KEY}` : ""} },`,
    `  body: JSON.stringify(${JSON.stringify({ ...body, stream: false })}),`, "});", "console.log((await response.json()).result);",
  ].join("\n"),
};

export const startPlayground = () => {
  const writers = new Map();
  let stopping;

  const colour = (model, tier) => {
    if (!writers.has(model)) {
      const name = tier === "last_resort" ? "w-last" : `w${writers.size % COLOURS}`;
      writers.set(model, name);
      const label = make("mark", `${model} (${tier})`, name);
      element("writers").append(label);
    }
    return writers.get(model);
  };

  const write = (text, model, tier) => {
    const name = colour(model, tier);
    const last = element("answer").lastElementChild;
    if (last?.className === name) last.textContent += text;
    else element("answer").append(make("mark", text, name));
  };

  const finish = (answer) => {
    if (!answer.attempts) return;
    const facts = `${answer.served_by}: ${answer.model}${answer.degraded ? ", degraded" : ""}, ${answer.finish_reason}`;
    element("trace").replaceChildren(make("p", facts), timeline(answer.attempts, Number(element("timeout").value) * 1000));
    for (const attempt of answer.attempts) if (attempt.reason) element("trace").append(make("p", `${attempt.model}: ${attempt.reason}`));
  };

  const ask = async () => {
    const { body, fault } = asked();
    stopping?.abort(); // two answers would be written into each other
    const own = stopping = new AbortController();
    writers.clear();
    for (const id of ["answer", "writers", "trace"]) element(id).replaceChildren();
    element("stop").disabled = false;
    try {
      const headers = { "content-type": "application/json", ...keyHeaders(), ...(fault ? { "x-neverblank-fault": fault } : {}) };
      const response = await fetch("v1/infer", { method: "POST", headers, body: JSON.stringify(body), signal: own.signal });
      if (response.headers.get("content-type")?.startsWith("text/event-stream")) {
        for await (const piece of eventsOf(response)) {
          if (piece.text) write(piece.text, piece.model, piece.served_by);
          if ("result" in piece) finish(piece);
        }
      } else {
        const answer = await response.json();
        write(answer.error ? `${answer.error.field ?? ""} ${answer.error.message}` : String(answer.result), answer.model ?? "refused", answer.served_by ?? "error");
        finish(answer);
      }
    } catch (error) {
      if (error.name !== "AbortError") write(error.message, "no service", "error");
    } finally {
      if (stopping === own) element("stop").disabled = true;
    }
  };

  element("ask").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  element("stop").addEventListener("click", () => stopping?.abort());
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const { body, fault } = asked();
      const url = new URL("v1/infer", location.href).href;
      const key = "authorization" in keyHeaders();
      await navigator.clipboard.writeText(programs[button.dataset.copy](url, body, fault, key));
      element("copied").textContent = "Copied.";
    });
  }

  return (status) => {
    const names = ["", ...Object.keys(status.models)];
    const select = element("model");
    if ([...select.options].map((option) => option.value).join("\n") === names.join("\n")) return;
    const chosen = select.value;
    select.replaceChildren(...names.map((name) => {
      const option = make("option", name || "the service's default");
      option.value = name;
      return option;
    }));
    select.value = chosen;
  };
};
