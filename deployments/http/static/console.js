// The console: three views on one service. It loads nothing from other hosts, and writes every text as text.
import { showStatus, showFallbacks, onModels } from "./console-now.js";
import { startPlayground } from "./console-playground.js";
import { startHands } from "./console-hands.js";
import { element } from "./console-dom.js";
import { eventsOf, keyHeaders } from "./console-wire.js";

const KEYLESS = { 401: "This service asks for a key.", 403: "This key is no administrator's: it has the playground alone." };

const VIEWS = ["now", "playground", "hands"];
const RETRY_MS = 2000;
const KEYLESS_MS = 30000;

const show = () => {
  const wanted = VIEWS.find((view) => location.hash === `#${view}`) ?? "now";
  for (const view of VIEWS) {
    element(view).hidden = view !== wanted;
    const link = document.querySelector(`nav a[href="#${view}"]`);
    if (view === wanted) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
};

// What a key without the status has: the models that it may name.
const showModels = async (tell) => {
  const response = await fetch("v1/models", { headers: keyHeaders() });
  if (response.ok) tell({ models: Object.fromEntries((await response.json()).data.map((model) => [model.id, {}])) });
};

let wake = () => {};
element("key").addEventListener("change", () => wake());

const watch = async (tellPlayground) => {
  for (;;) {
    let pause = RETRY_MS;
    try {
      const response = await fetch("status/events", { headers: keyHeaders() });
      if (KEYLESS[response.status]) {
        element("summary").textContent = KEYLESS[response.status];
        element("summary").className = "doubtful";
        pause = KEYLESS_MS;
        if (response.status === 403) await showModels(tellPlayground);
      } else if (!response.ok) throw new Error(`the service answers ${response.status}`);
      else for await (const event of eventsOf(response)) {
        if (event.status) showStatus(event.status);
        if (event.fallbacks) showFallbacks(event.fallbacks);
      }
    } catch (error) {
      element("summary").textContent = `No service: ${error.message}. Trying again …`;
      element("summary").className = "bad";
    }
    await new Promise((resolve) => {
      setTimeout(resolve, pause);
      wake = resolve;
    });
  }
};

addEventListener("hashchange", () => { show(); element("main").focus({ preventScroll: true }); });
show();
const tellPlayground = startPlayground();
onModels(tellPlayground, startHands());
watch(tellPlayground);
