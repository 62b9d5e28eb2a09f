// Draws results. Takes what the service answered; every text enters the page as text, never as markup.
import { describe } from "./input.js";

/** An element with attributes and children; a string child is text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((each) => each !== null));
  return made;
}

/** One result: `{label, request, answer, timing, seconds}`. `other` is the result to compare the ranks with, or null. */
export function column(result, other) {
  const { model, degraded } = result.answer;
  const about = `${model.name}, version ${model.version}${model.policy ? `, policy ${model.policy}` : ""}`;
  return element(
    "div", { class: "column" },
    element("h2", {}, result.label),
    element("p", { class: "about" }, about + (degraded ? ". A part is missing; a retry could score it." : "")),
    element("div", { class: "facts member" }, ...remarks(result.answer.member ?? {}).map((each) => element("span", { class: "badge warn" }, `member: ${each}`))),
    ...waterfall(result),
    element("ol", { class: "cards" }, ...ranked(result).map((each, place) => card(each, place + 1, rankIn(other, each)))),
  );
}

/** Scores with their candidates, best first; those without a score last. */
export function ranked({ request, answer }) {
  const pairs = answer.scores.map((score, place) => ({ ...score, candidate: request.candidates[place] }));
  return pairs.sort((one, two) => (two.score ?? -1) - (one.score ?? -1));
}

function rankIn(other, { id }) {
  if (!other) return null;
  const place = ranked(other).findIndex((each) => each.id === id && each.score !== null);
  return place < 0 ? null : place + 1;
}

function card(scored, rank, before) {
  const { title, rest } = describe(scored.candidate);
  const known = scored.score !== null;
  return element(
    "li", { class: "card", "data-id": scored.id },
    element(
      "div", { class: "top" },
      element("span", { class: "rank", "aria-label": `rank ${rank}` }, known ? String(rank) : "–"),
      element("h3", {}, title),
      element("span", { class: "score", "aria-label": "score" }, known ? scored.score.toFixed(3) : "–"),
    ),
    rest ? element("p", { class: "snippet" }, rest) : null,
    element("div", { class: "facts" }, ...facts(scored, rank, before)),
    known ? bars(scored.heads) : null,
  );
}

function facts(scored, rank, before) {
  const found = [];
  const badge = (text, kind) => found.push(element("span", { class: `badge ${kind}` }, text));
  if (scored.status !== "scored") badge(scored.status.replaceAll("_", " "), "bad");
  if (before !== null && before !== rank && scored.score !== null) {
    badge(before > rank ? `▲ up ${before - rank}` : `▼ down ${rank - before}`, before > rank ? "up" : "warn");
  }
  for (const sentence of remarks(scored)) badge(sentence, "warn");
  return found;
}

/** What to know about how a text was read: what was cut off, and the service's warnings. */
function remarks({ tokens_read: read, tokens_cut: cut, warnings }) {
  const found = cut ? [`read ${read} of ${read + cut} tokens`] : [];
  return [...found, ...(warnings ?? []).filter((each) => each.code !== "too_long").map((each) => each.detail)];
}

function bars(heads) {
  const rows = Object.entries(heads).flatMap(([name, value]) => [
    element("dt", {}, name),
    element("dd", { class: "track", "aria-hidden": "true" }, filled(element("span", { class: "fill" }), 0, value ?? 0)),
    element("dd", { class: "number" }, value === null ? "–" : value.toFixed(3)),
  ]);
  return element("dl", { class: "bars" }, ...rows);
}

const PATH = "read parse admit tokenize lookup encode queue model answer".split(" ");

/** Server-Timing as `[{name, ms, start}]`, in the order of a request's path: each stage begins where the last one ended. */
export function stages(header) {
  let start = 0;
  const parts = header.split(",").map((part) => /^\s*([\w-]+);dur=([\d.]+)/.exec(part)).filter(Boolean);
  parts.sort((one, two) => PATH.indexOf(one[1]) - PATH.indexOf(two[1]));
  return parts.filter(([, name]) => name !== "total").map(([, name, text]) => {
    const stage = { name, ms: Number(text), start };
    start += stage.ms;
    return stage;
  });
}

function waterfall({ timing, seconds }) {
  const found = stages(timing ?? "");
  if (!found.length) return [];
  const total = found.reduce((sum, each) => sum + each.ms, 0);
  const rows = found.map(({ name, ms, start }) =>
    element(
      "tr", {},
      element("th", { scope: "row" }, name),
      element("td", {}, element("span", { class: "lane", "aria-hidden": "true" }, filled(element("i"), start / total, ms / total))),
      element("td", {}, `${ms.toFixed(2)} ms`),
    ));
  const summary = `${total.toFixed(1)} ms in the service, ${(seconds * 1000).toFixed(0)} ms in the browser`;
  const table = element("table", { "aria-label": "Time by stage" }, element("tbody", {}, ...rows));
  return [element("details", { class: "waterfall", open: "" }, element("summary", {}, summary), table)];
}

// The content security policy refuses style attributes; a script may still set single properties.
function filled(bar, start, share) {
  bar.style.marginLeft = `${100 * start}%`;
  bar.style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
  return bar;
}

/** A problem (RFC 9457), or a sentence of this page. */
export function problem({ title, detail, errors = [], request_id: id }) {
  const items = errors.map((each) => element("li", {}, element("code", {}, each.pointer), ` ${each.detail}`));
  return [
    element("h2", {}, title),
    detail && detail !== title ? element("p", {}, detail) : "",
    items.length ? element("ul", {}, ...items) : "",
    id ? element("p", { class: "hint" }, `Request ${id}`) : "",
  ];
}
