// What the two text areas hold, as the body of POST /score. Knows neither the page nor the service.

const FIELD = /^([a-z][a-z0-9_]*):\s*(.*)$/;

/** A text, or `name: value` lines, or JSON, as a member: `{text}` or `{fields}`. Throws an Error with a sentence. */
export function readMember(source) {
  const text = source.trim();
  if (!text) throw new Error("The member is empty.");
  if (text.startsWith("{")) {
    const given = parse(text, "The member");
    if (given.member) return given.member;
    return "fields" in given || "text" in given ? given : { fields: given };
  }
  return block(text);
}

/** Candidates: blocks between empty lines, or a JSON list. One without an id is named by its place. */
export function readCandidates(source) {
  const text = source.trim();
  let found;
  if (text.startsWith("[") || (text.startsWith("{") && !text.includes("\n\n"))) {
    const given = parse(text, "The list of candidates");
    found = (Array.isArray(given) ? given : given.candidates ?? [given]).map(candidate);
  } else {
    found = text.split(/\n\s*\n/).filter((each) => each.trim()).map((each) => block(each.trim()));
  }
  if (!found.length) throw new Error("There are no candidates.");
  return found.map((each, place) => ({ id: `c-${place + 1}`, ...each }));
}

/** A line to show for a candidate, and the rest of its text. */
export function describe(candidate) {
  if (candidate.fields) {
    const [first, ...rest] = Object.values(candidate.fields).map((value) => [value].flat().join(", "));
    return { title: first || candidate.id, rest: rest.filter(Boolean).join(" · ") };
  }
  if (candidate.text === undefined) return { title: candidate.id, rest: "a stored candidate" };
  const end = candidate.text.search(/\.\s|\n/);
  if (end < 0 || end > 90) return { title: candidate.text.slice(0, 90), rest: candidate.text.slice(90) };
  return { title: candidate.text.slice(0, end), rest: candidate.text.slice(end + 1).trim() };
}

/** The request as a command for a shell. The key is a variable there, never its value. */
export function asCurl(address, body, withKey) {
  const quoted = JSON.stringify(body, null, 1).replaceAll("'", "'\\''");
  const key = withKey ? ' \\\n  -H "Authorization: Bearer $FITSCORE_KEY"' : "";
  return `curl -s ${address} \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${quoted}'`;
}

function candidate(given) {
  if (typeof given === "string") return { text: given };
  if (given && ("fields" in given || "text" in given || Object.keys(given).join() === "id")) return given;
  return { fields: given };
}

function block(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  const pairs = lines.map((line) => FIELD.exec(line));
  if (!pairs.every(Boolean)) return { text: lines.join(" ") };
  const { id, ...fields } = Object.fromEntries(pairs.map(([, name, value]) => [name, value]));
  const named = id === undefined ? {} : { id };
  return Object.keys(fields).length ? { ...named, fields } : named;
}

function parse(text, what) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} is not valid JSON: ${error.message}.`);
  }
}
