// The console: three views on one service. It loads nothing from other hosts, and writes every text as text.
import { showStatus, showFallbacks, onModels } from "./console-now.js";
import { startPlayground } from "./console-playground.js";
import { startHands } from "./console-hands.js";
import { element } from "./console-dom.js";
import { eventsOf, keyHeaders } from "./console-wire.js";

const VIEWS = ["now", "playground", "hands"];
const RETRY_MS = 2000;

const show = () => {
  const wanted = VIEWS.find((view) => location.hash === `#${view}`) ?? "now";
  for (const view of VIEWS) {
    element(view).hidden = view !== wanted;
    const link = document.querySelector(`nav a[href="#${view}"]`);
    if (view === wanted) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
};

const watch = async () => {
  for (;;) {
    try {
      const response = await fetch("status/events", { headers: keyHeaders() });
      if (!response.ok) throw new Error(`the service answers ${response.status}`);
      for await (const event of eventsOf(response)) {
        if (event.status) showStatus(event.status);
        if (event.fallbacks) showFallbacks(event.fallbacks);
      }
    } catch (error) {
      element("summary").textContent = `No service: ${error.message}. Trying again …`;
      element("summary").className = "bad";
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
};

addEventListener("hashchange", () => { show(); element("main").focus({ preventScroll: true }); });
show();
onModels(startPlayground(), startHands());
watch();
