// Small helpers to build the page. All text goes in as text, never as HTML.
export const element = (id) => document.getElementById(id);

export const make = (tag, text = "", className = "") => {
  const node = document.createElement(tag);
  node.textContent = text;
  if (className) node.className = className;
  return node;
};

const SVG = "http://www.w3.org/2000/svg";

export const draw = (tag, attributes = {}, text = "") => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
};

const GOOD = new Set(["ready", "closed", "answered"]);
const BAD = new Set(["failed", "open", "timed_out", "blank", "rejected"]);

export const mood = (word) => (GOOD.has(word) ? "good" : BAD.has(word) ? "bad" : "doubtful");

const FILLS = { good: "var(--good)", bad: "var(--bad)", doubtful: "var(--doubtful)" };

// The attempts of one answer against its deadline: who was asked when, why, and how it ended.
export const timeline = (attempts, deadlineMs) => {
  const ends = attempts.map((each) => (each.at_ms ?? 0) + each.ms);
  const span = Math.max(...ends, deadlineMs || 0, 1);
  const height = 20 * attempts.length + 18;
  const svg = draw("svg", { viewBox: `0 0 720 ${height}`, class: "timeline", role: "img" });
  const place = (ms) => 4 + (ms / span) * 708;
  const words = [];
  attempts.forEach((each, row) => {
    const from = place(each.at_ms ?? 0);
    svg.append(draw("rect", { x: from, y: 20 * row + 2, width: Math.max(3, place((each.at_ms ?? 0) + each.ms) - from), height: 5, fill: FILLS[mood(each.outcome)] }));
    const says = `${each.model}: ${each.outcome} after ${Math.round(each.ms)} ms (${each.why})`;
    svg.append(draw("text", { x: Math.min(from, 430), y: 20 * row + 18 }, says));
    words.push(says);
  });
  if (deadlineMs) {
    const due = place(deadlineMs);
    svg.append(draw("line", { x1: due, x2: due, y1: 0, y2: height, class: "due" }));
    svg.append(draw("text", { x: due, y: height - 3, "text-anchor": due > 360 ? "end" : "start" }, `deadline ${Math.round(deadlineMs)} ms`));
  }
  svg.prepend(draw("title", {}, words.join("; ")));
  return svg;
};
