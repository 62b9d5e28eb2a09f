// The page's state and events. Knows POST /score and GET /v1/models; drawing is in view.js, reading in input.js.
import { EXAMPLES } from "./examples.js";
import { asCurl, readCandidates, readMember } from "./input.js";
import { column, element, problem } from "./view.js";

const $ = (id) => document.getElementById(id);
const NONE = { name: "", label: "nothing" };
let shown = []; // the results on the screen
let kept = null; // the result that stays beside the next one
let untouched = true; // nothing was chosen or written yet, so the live model may choose the example

function headers() {
  const key = $("key").value.trim();
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

/** The body of POST /score. Throws an Error with a sentence. */
function request(model) {
  const body = { member: readMember($("member").value), candidates: readCandidates($("candidates").value) };
  const weights = [...$("blend").querySelectorAll("input")].filter((each) => each.value !== "");
  if (weights.length) body.blend = Object.fromEntries(weights.map((each) => [each.name, Number(each.value)]));
  if ($("deadline").value) body.deadline_ms = Number($("deadline").value);
  if ($("priority").value !== "default") body.priority = $("priority").value;
  if (model) body.model = model;
  return body;
}

async function score(model, label) {
  const body = request(model);
  const began = performance.now();
  const response = await fetch("score", { method: "POST", headers: headers(), body: JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.title), { problem: answer });
  const seconds = (performance.now() - began) / 1000;
  return { label, request: body, answer, timing: response.headers.get("Server-Timing"), seconds };
}

async function submit() {
  show(null);
  $("score").disabled = true;
  $("result").setAttribute("aria-busy", "true");
  try {
    const models = $("models").hidden ? [""] : [$("model").value, $("beside").value].filter((each, place) => each || !place);
    const found = [];
    for (const model of models) found.push(await score(model, model || "Result"));
    shown = kept ? [kept, found[0]] : found;
    draw();
    nameHeads(found[0].answer);
  } catch (error) {
    show(error.problem ?? { title: "Not scored", detail: error.message });
  } finally {
    $("score").disabled = false;
    $("result").setAttribute("aria-busy", "false");
  }
}

function show(found) {
  $("problem").hidden = !found;
  $("problem").replaceChildren(...(found ? problem(found) : []));
}

function draw() {
  const two = shown.length > 1;
  $("columns").classList.toggle("two", two);
  $("columns").replaceChildren(...shown.map((each, place) => column(each, two && place ? shown[0] : null)));
  $("after").hidden = false;
}

/** Offer a weight for each head of the model that answered. */
function nameHeads({ scores }) {
  const heads = Object.keys(scores.find((each) => each.heads)?.heads ?? {});
  const named = [...$("blend").querySelectorAll("input")].map((each) => each.name);
  if (!heads.length || heads.join() === named.join()) return;
  const inputs = heads.map((name) =>
    element("label", {}, name, element("input", { type: "number", name, min: "0", step: "0.1", placeholder: "the model's" })));
  $("blend").replaceChildren($("blend").querySelector("legend"), ...inputs);
  $("blend").hidden = false;
}

function fill(name) {
  $("member").value = EXAMPLES[name].member;
  $("candidates").value = EXAMPLES[name].candidates;
  $("blend").querySelectorAll("input").forEach((each) => (each.value = ""));
  if ([...$("model").options].some((each) => each.value === name)) $("model").value = name;
  count();
  for (const each of document.querySelectorAll("[data-example]")) {
    each.setAttribute("aria-pressed", String(each.dataset.example === name));
  }
}

function count() {
  try {
    const { length } = readCandidates($("candidates").value);
    $("count").value = `(${length})`;
  } catch {
    $("count").value = "";
  }
}

/** Offer the models in memory, and the example of the live one. A caller without the scope `admin` gets none. */
async function listModels() {
  const response = await fetch("v1/models", { headers: headers() });
  if (!response.ok) return;
  const live = (await response.json()).models.filter((each) => each.live);
  const options = live.map(({ name, version }) => ({ name, label: `${name}, version ${version}` }));
  $("model").replaceChildren(...options.map(option));
  $("beside").replaceChildren(...[NONE, ...options].map(option));
  $("models").hidden = options.length < 2;
  if (untouched && EXAMPLES[live[0]?.name]) fill(live[0].name);
}

function option({ name, label }) {
  return element("option", { value: name }, label);
}

function keep() {
  kept = kept ? null : { ...shown.at(-1), label: "Kept" };
  $("keep").setAttribute("aria-pressed", String(Boolean(kept)));
  if (!kept) shown = shown.slice(-1);
  draw();
}

async function copy() {
  show(null);
  try {
    const model = $("models").hidden ? "" : $("model").value;
    const text = asCurl(new URL("score", location.href).href, request(model), Boolean($("key").value));
    await navigator.clipboard.writeText(text);
    $("copied").textContent = "Copied.";
  } catch (error) {
    show({ title: "Not copied", detail: error.message });
  }
  setTimeout(() => ($("copied").textContent = ""), 3000);
}

$("form").addEventListener("submit", (event) => (event.preventDefault(), submit()));
$("form").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  submit();
});
$("form").addEventListener("input", () => (untouched = false));
$("candidates").addEventListener("input", count);
$("key").addEventListener("change", listModels);
$("keep").addEventListener("click", keep);
$("curl").addEventListener("click", copy);
for (const each of document.querySelectorAll("[data-example]")) {
  each.addEventListener("click", () => {
    untouched = false;
    fill(each.dataset.example);
  });
}
fill("jobs");
listModels();
