// The view "Hands": what an operator does to breakers, models and traffic.
import { element, make, mood } from "./console-dom.js";
import { keyHeaders } from "./console-wire.js";

const ACTS = [["hold", "Hold open"], ["reset", "Reset"], ["drain", "Drain"], ["release", "Release"]];

const act = async (body) => {
  const said = element("done");
  try {
    const response = await fetch("admin/acts", {
      method: "POST", headers: { "content-type": "application/json", ...keyHeaders() }, body: JSON.stringify(body),
    });
    const told = await response.json();
    const unheard = Object.entries(told.unheard ?? {}).map(([router, why]) => `${router} (${why})`);
    said.className = response.ok && !unheard.length ? "good" : "bad";
    said.textContent = !response.ok ? told.error?.message ?? `refused: ${response.status}`
      : [`Done in ${told.routers} router${told.routers === 1 ? "" : "s"}.`, ...(unheard.length ? [`Not heard by ${unheard.join(", ")}.`] : [])].join(" ");
  } catch (error) {
    said.className = "bad";
    said.textContent = error.message;
  }
};

export const startHands = () => {
  element("shift").addEventListener("submit", (event) => {
    event.preventDefault();
    act({ act: "shift", share: Number(element("share").value) / 100 });
  });
  let shown = "";

  return (status) => {
    const holds = status.interventions?.holds ?? {};
    const models = [...Object.entries(status.models)];
    const key = JSON.stringify([models.map(([name, facts]) => [name, facts.breaker]), holds]);
    if (key === shown) return; // a button that has the focus stays where it is
    shown = key;
    element("levers").tBodies[0].replaceChildren(...models.map(([name, facts]) => {
      const line = make("tr");
      const levers = make("td");
      for (const [act_, label] of ACTS) {
        const button = make("button", label);
        button.type = "button";
        button.setAttribute("aria-label", `${label}: ${name}`);
        button.addEventListener("click", () => act({ act: act_, model: name }));
        levers.append(button, " ");
      }
      const breaker = facts.breaker ?? "";
      line.append(make("th", name), make("td", breaker, breaker && mood(breaker)), make("td", holds[name] ?? ""), levers);
      return line;
    }));
  };
};
