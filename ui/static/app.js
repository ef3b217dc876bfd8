// The page of live alerts. What an alert says is untrusted: it only ever becomes text
// nodes, never markup.

const kept = 1000; // alerts remembered
const shown = 300; // alerts in the document
const priorities = ["", "Debug", "Informational", "Notice", "Warning", "Error", "Critical", "Alert", "Emergency"];

const $ = (id) => document.getElementById(id);
const list = $("alerts");

const state = {
  alerts: [], // newest first: {sequence, event, level, haystack}
  known: new Set(), // UUIDs of state.alerts
  received: 0,
  skipped: 0,
  paused: false,
  waiting: [], // came while paused, oldest first
  text: "",
  level: 0,
};

// visible spells out characters that have no shape of their own or that turn the text
// around, so that an alert cannot look like something else.
function visible(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

function element(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = visible(text);
  return e;
}

function asText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

// parse keeps the text of numbers that JavaScript would round, as 64-bit times are.
function parse(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === "number" && context?.source && String(value) !== context.source ? context.source : value);
}

// The sensor writes time and priority before the text; the row has columns for them.
function withoutPrefix(output) {
  return output.replace(/^[0-9T:.+-]+Z?: (Emergency|Alert|Critical|Error|Warning|Notice|Informational|Debug) /i, "");
}

function where(event) {
  const f = event.output_fields ?? {};
  const pod = f["k8s.pod.name"];
  if (pod) return [f["k8s.ns.name"], pod].filter(Boolean).join("/");
  const container = f["container.name"];
  const named = container && container !== "host" && container !== "<NA>";
  return [event.hostname, named ? container : ""].filter(Boolean).join(" · ");
}

function prepare(raw) {
  const { sequence, event } = raw;
  const fields = Object.entries(event.output_fields ?? {});
  const words = [event.rule, event.output, event.source, event.hostname, event.priority, ...(event.tags ?? [])];
  for (const [name, value] of fields) words.push(name + "=" + asText(value));
  return { sequence, event, level: priorities.indexOf(event.priority), haystack: words.join("\n").toLowerCase() };
}

function matches(alert) {
  return alert.level >= state.level && state.text.split(/\s+/).every((word) => alert.haystack.includes(word));
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

function timeElement(iso) {
  const e = element("time", "time");
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) {
    e.textContent = visible(iso);
    return e;
  }
  e.dateTime = iso;
  e.textContent = clock.format(date) + "." + String(date.getMilliseconds()).padStart(3, "0");
  e.title = full.format(date);
  return e;
}

function row(alert, isNew) {
  const { event } = alert;
  const li = element("li", isNew ? "new" : "");
  const details = element("details");
  const summary = element("summary");
  const badge = element("span", "badge", event.priority);
  badge.dataset.p = Math.max(alert.level, 0);
  const text = element("span", "text", withoutPrefix(event.output ?? ""));
  const place = element("span", "where", where(event));
  place.title = place.textContent;
  summary.append(timeElement(event.time), badge, element("span", "rule", event.rule), text, place);
  details.append(summary);
  // Most rows are never opened, so their details are made when one is.
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(body(event));
  });
  li.append(details);
  return li;
}

function body(event) {
  const div = element("div", "details");
  div.append(element("p", "message", event.output ?? ""));
  if (event.tags?.length) {
    const tags = element("ul", "tags");
    tags.setAttribute("aria-label", "Tags");
    for (const tag of event.tags) tags.append(element("li", "", tag));
    div.append(tags);
  }
  const facts = [["time", event.time], ["source", event.source], ["hostname", event.hostname], ["uuid", event.uuid],
    ...Object.entries(event.output_fields ?? {})];
  const dl = element("dl");
  for (const [name, value] of facts) {
    if (value === undefined || value === "") continue;
    const none = value === null;
    dl.append(element("dt", "", name), element("dd", none ? "none" : "", none ? "–" : asText(value)));
  }
  div.append(dl);
  return div;
}

function render() {
  const fragment = document.createDocumentFragment();
  let n = 0;
  for (const alert of state.alerts) {
    if (!matches(alert)) continue;
    fragment.append(row(alert, false));
    if (++n === shown) break;
  }
  list.replaceChildren(fragment);
  status();
}

// add shows alerts that have just come, oldest first.
function add(fresh, isNew) {
  const fragment = document.createDocumentFragment();
  let matched = 0;
  for (const raw of fresh) {
    const id = raw.event.uuid ?? String(raw.sequence);
    if (state.known.has(id)) continue;
    state.known.add(id);
    const alert = prepare(raw);
    state.alerts.unshift(alert);
    state.received++;
    if (matches(alert)) {
      fragment.prepend(row(alert, isNew));
      matched++;
    }
  }
  while (state.alerts.length > kept) {
    const old = state.alerts.pop();
    state.known.delete(old.event.uuid ?? String(old.sequence));
  }
  // Reading on should not be disturbed by what arrives above.
  const before = list.getBoundingClientRect().bottom;
  list.prepend(fragment);
  while (list.childElementCount > shown) list.lastElementChild.remove();
  if (matched > 0 && window.scrollY > 120) window.scrollBy(0, list.getBoundingClientRect().bottom - before);
  status();
}

function status() {
  const filtered = state.text !== "" || state.level > 0;
  const visible = list.childElementCount;
  $("count").textContent = filtered ? visible + " of " + state.alerts.length : String(state.alerts.length);
  $("columns").hidden = visible === 0;
  $("empty").hidden = visible > 0;
  const nothing = state.alerts.length === 0;
  $("empty-title").textContent = nothing ? "No alerts yet" : "No alert matches";
  $("empty-text").textContent = nothing
    ? "Alerts appear here as they happen. To cause one where a sensor runs, read a sensitive file as root:"
    : "Change the filter or the priority to see the others.";
  $("empty-command").hidden = !nothing;
  document.title = (state.received > 0 ? "(" + state.received + ") " : "") + "Alerts · Saker";
  const notes = [];
  if (state.paused) notes.push("Paused; " + state.waiting.length + " new.");
  if (state.skipped > 0) notes.push(state.skipped + " alerts came too fast to be shown here. All of them are stored and delivered.");
  $("notice").textContent = notes.join(" ");
  $("notice").hidden = notes.length === 0;
}

let queue = [];
let frameAsked = false;
function arrive(raw) {
  if (state.paused) {
    state.waiting.push(raw);
    if (state.waiting.length > kept) state.skipped += state.waiting.splice(0, state.waiting.length - kept).length;
    status();
    return;
  }
  queue.push(raw);
  // A hidden tab gets no frames, so what waits for one is bounded.
  if (queue.length > kept) queue.shift();
  if (!frameAsked) {
    frameAsked = true;
    requestAnimationFrame(() => {
      frameAsked = false;
      const fresh = queue;
      queue = [];
      add(fresh, true);
    });
  }
}

function setState(name, text) {
  $("state").dataset.state = name;
  $("state-text").textContent = text;
}

async function start() {
  let last = 0;
  try {
    const answer = await fetch("api/v2/events?limit=" + shown);
    if (!answer.ok) throw new Error(String(answer.status));
    const page = parse(await answer.text());
    last = page.last;
    add(page.events.reverse(), false);
    state.received = 0;
    status();
  } catch {
    setState("lost", "No connection, trying again");
    setTimeout(start, 3000);
    return;
  }
  follow(last);
}

function follow(last) {
  const source = new EventSource("api/v2/events/stream?after=" + last);
  source.addEventListener("open", () => setState("live", "Live"));
  source.addEventListener("alert", (message) => {
    last = Number(message.lastEventId) || last;
    arrive(parse(message.data));
  });
  source.addEventListener("gap", (message) => {
    state.skipped += JSON.parse(message.data).skipped;
    status();
  });
  source.addEventListener("error", () => {
    setState("lost", "Connection lost, trying again");
    // The browser connects again by itself, unless the answer was an error.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(last), 3000);
  });
}

async function refreshOutputs() {
  try {
    const answer = await fetch("api/v2/outputs");
    if (answer.ok) showOutputs((await answer.json()).outputs);
  } catch {
    // The connection state is shown already.
  }
  setTimeout(refreshOutputs, document.hidden ? 15000 : 3000);
}

const stateWords = {
  ok: "delivering", failing: "failing", held: "refuses everything until its settings are mended",
  open: "failing, asked only now and then", idle: "nothing sent yet",
};
const redStates = ["failing", "held", "open"];

function showOutputs(outputs) {
  $("outputs").hidden = outputs.length === 0;
  $("outputs-list").replaceChildren(...outputs.map((o) => {
    const li = element("li");
    li.dataset.state = o.state;
    const dot = element("span", "dot");
    dot.setAttribute("aria-hidden", "true");
    const numbers = [o.delivered + " delivered"];
    if (o.pending > 0) numbers.push(o.pending + " waiting");
    if (o.deadLetters > 0) numbers.push(o.deadLetters + " dead letters");
    if (o.lost > 0) numbers.push(o.lost + " lost");
    li.append(dot, element("strong", "", o.name), element("span", "visually-hidden", stateWords[o.state] ?? o.state),
      element("span", "numbers", numbers.join(" · ")));
    if (redStates.includes(o.state) && o.lastError) {
      const error = element("span", "error", o.lastError);
      error.title = o.lastError;
      li.append(error);
    }
    return li;
  }));
}

function setPaused(paused) {
  state.paused = paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Resume" : "Pause";
  if (!paused) {
    const fresh = state.waiting;
    state.waiting = [];
    add(fresh, true);
  }
  status();
}

let typing;
$("filter").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    state.text = $("filter").value.trim().toLowerCase();
    render();
  }, 120);
});
$("priority").addEventListener("change", () => {
  state.level = Number($("priority").value);
  render();
});
$("pause").addEventListener("click", () => setPaused(!state.paused));
$("clear").addEventListener("click", () => {
  state.alerts = [];
  state.waiting = [];
  state.known.clear();
  state.received = state.skipped = 0;
  render();
});
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText("cat /etc/shadow");
    $("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(document.querySelector("#empty-command code"));
  }
});
document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) {
    if (e.key === "Escape" && e.target === $("filter")) $("filter").blur();
    return;
  }
  if (e.key === "/") {
    e.preventDefault();
    $("filter").focus();
  } else if (e.key === "p") {
    setPaused(!state.paused);
  }
});

fetch("api/v2/version").then((r) => (r.ok ? r.json() : {})).then((v) => { $("version").textContent = v.version ?? ""; }, () => {});
start();
refreshOutputs();
