// The view "Now": what the service knows of its models, and what it has done.
import { element, make, mood, draw, timeline } from "./console-dom.js";

const KEPT = 60;
const history = [];
const listeners = [];

export const onModels = (...heard) => listeners.push(...heard);

const fixed = (value, digits = 3) => (typeof value === "number" ? Number(value.toPrecision(digits)).toString() : "");

const row = (...cells) => {
  const line = make("tr");
  for (const cell of cells) line.append(cell instanceof Node ? cell : make("td", String(cell ?? "")));
  return line;
};

const number = (value) => make("td", fixed(value), "number");

export const showStatus = (status) => {
  const answers = Object.values(status.answers).reduce((sum, count) => sum + count, 0);
  history.push({ at: Date.now(), answers, tiers: status.answers, models: status.models });
  if (history.length > KEPT) history.shift();
  const problems = status.problems ?? [];
  element("summary").textContent = problems.length
    ? `${problems.length} problem${problems.length > 1 ? "s" : ""}` : "All is well.";
  element("summary").className = problems.length ? "bad" : "good";
  element("problems").replaceChildren(...problems.map((problem) => make("li", `${problem.where} ${problem.what}`, problem.severity)));
  showFigures(status);
  const head = status.head ?? { answers: true };
  const caption = element("models").caption;
  caption.textContent = head.answers ? "Models" : `Models, as they were ${Math.round(head.silent_s)} s ago: the head is away`;
  caption.className = head.answers ? "" : "bad";
  const models = [...Object.entries(status.models), ["(backup)", status.backup]];
  element("models").tBodies[0].replaceChildren(...models.map(([name, facts]) => row(
    make("th", name), make("td", facts.state, mood(facts.state)),
    make("td", facts.breaker ?? "", facts.breaker ? mood(facts.breaker) : ""),
    number(facts.in_flight), number(facts.p50_s), number(facts.p95_s), facts.reason ?? "",
  )));
  const routers = status.routers ?? [status];
  element("routers").tBodies[0].replaceChildren(...routers.map((router) => row(
    make("th", router.replica || String(router.router)), number(router.in_flight), number(router.waiting),
    number(Object.values(router.answers).reduce((sum, count) => sum + count, 0)), number(router.turned_away),
  )));
  for (const listener of listeners) listener(status);
};

const rates = (count) => history.slice(1).map((now, place) => {
  const before = history[place];
  const seconds = (now.at - before.at) / 1000 || 1;
  return Math.max(0, count(now) - count(before)) / seconds;
});

const sparkline = (values) => {
  const svg = draw("svg", { viewBox: "0 0 60 16", preserveAspectRatio: "none", "aria-hidden": "true" });
  const top = Math.max(...values, 1e-9);
  svg.append(draw("polyline", { points: values.map((value, place) => `${place},${15 - (value / top) * 14}`).join(" ") }));
  return svg;
};

const figure = (name, value, values = []) => {
  const box = make("div", "", "figure");
  box.append(make("b", value), make("span", name));
  if (values.length > 1) box.append(sparkline(values));
  return box;
};

const showFigures = (status) => {
  const perSecond = rates((each) => each.answers);
  const boxes = [
    figure("answers a second", fixed(perSecond.at(-1) ?? 0), perSecond),
    figure("in flight", String(status.in_flight)),
    ...Object.entries(status.answers).map(([tier, count]) =>
      figure(tier.replace("_", " "), String(count), rates((each) => each.tiers[tier]))),
  ];
  if (status.canary?.on) boxes.push(figure("canary", status.canary.sound ? "sound" : "unsound"));
  element("figures").replaceChildren(...boxes);
};

export const showFallbacks = (told) => {
  const open = new Set([...element("fallbacks").querySelectorAll("details[open]")].map((each) => each.dataset.id));
  const items = told.fallbacks.map((each) => {
    const box = make("details");
    box.dataset.id = each.request_id;
    box.open = open.has(each.request_id);
    box.append(make("summary", `${each.time.slice(11, 19)}  ${each.asked} → ${each.model} (${each.served_by}), ${Math.round(each.ms)} ms`));
    box.append(timeline(each.attempts, each.deadline_ms));
    for (const attempt of each.attempts) if (attempt.reason) box.append(make("p", `${attempt.model}: ${attempt.reason}`));
    return box;
  });
  element("fallbacks").replaceChildren(...(items.length ? items : [make("p", "None.")]));
};
