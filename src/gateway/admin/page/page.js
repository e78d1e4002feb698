// Shows what /routes says, and keeps it up to date. Names are chosen by users: all is set as text, nothing as HTML.

/** Milliseconds between two looks. */
const PERIOD = 2000;
/** Milliseconds after which a gateway that has said nothing does not answer. */
const LIMIT = 5000;
/** Columns: what is shown, and whether it is a number. */
const COLUMNS = [["Cluster"], ["Endpoint"], ["Condition"], ["Weight", true], ["In flight", true], ["First byte", true]];

const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const [state, age, summary, filter, found, list, empty] = ["state", "age", "summary", "filter", "found", "routes", "empty"]
  .map((id) => document.getElementById(id));

const views = new Map();
let told = "";
let toldAt = 0;
let timer = 0;
let isAsking = false;

function add(parent, tag, { text = "", name = "", role = "" } = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  // A table that is laid out as a list says no more by itself that it is one.
  if (role) element.setAttribute("role", role);
  parent?.append(element);
  return element;
}

/** What has not changed is not touched: neither a reader's place nor what he marked is lost. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes the elements behind `before` views of the items, in their order. */
function arrange(parent, before, known, items, keyOf, create) {
  const keys = new Set();
  const keyed = items.map((item) => {
    let key = keyOf(item);
    while (keys.has(key)) key += " ";
    keys.add(key);
    return [key, item];
  });
  for (const [key, view] of known) {
    if (!keys.has(key)) {
      view.element.remove();
      known.delete(key);
    }
  }
  let place = before ? before.nextElementSibling : parent.firstElementChild;
  for (const [key, item] of keyed) {
    const view = known.get(key) ?? create();
    known.set(key, view);
    if (view.element === place) place = place.nextElementSibling;
    else parent.insertBefore(view.element, place);
    view.update(item);
  }
}

function endpointView() {
  const element = add(null, "tr", { role: "row" });
  const cells = COLUMNS.map(([label, isNumber], column) => {
    const cell = add(element, column ? "td" : "th", { name: isNumber ? "number" : "", role: column ? "cell" : "rowheader" });
    cell.dataset.label = label;
    return add(cell, "span");
  });
  cells[0].parentElement.scope = "row";
  const [cluster, endpoint, condition, weight, inFlight, firstByte] = cells;
  const name = add(endpoint, "span");
  const address = add(endpoint, "small");
  const update = (of) => {
    say(cluster, of.cluster);
    say(name, of.name);
    say(address, of.address);
    say(condition, of.condition);
    condition.className = of.condition === "Serving" ? "" : "trouble";
    say(weight, numbers.format(of.weight));
    say(inFlight, numbers.format(of.inFlight));
    say(firstByte, duration(of.responseMilliseconds));
  };
  return { element, update };
}

function duration(milliseconds) {
  if (milliseconds === undefined) return "not known yet";
  return milliseconds < 1000 ? `${numbers.format(milliseconds)} ms` : `${numbers.format(milliseconds / 1000)} s`;
}

function backendView() {
  const element = add(null, "tbody", { role: "rowgroup" });
  const row = add(element, "tr", { name: "backend", role: "row" });
  const head = add(row, "th", { role: "rowheader" });
  head.colSpan = COLUMNS.length;
  head.scope = "rowgroup";
  const none = add(element, "tr", { role: "row" });
  const nobody = add(none, "td", { text: "No replica is ready, or none can be reached from here.", name: "trouble", role: "cell" });
  nobody.colSpan = COLUMNS.length;
  const endpoints = new Map();
  const update = (backend) => {
    say(head, `Backend ${backend.name}: weight ${numbers.format(backend.weight)}, ${numbers.format(backend.waiting)} waiting`);
    none.hidden = backend.endpoints.length > 0;
    const nameOf = (of) => `${of.cluster} ${of.name} ${of.address}`;
    const sorted = [...backend.endpoints].sort((one, other) => (nameOf(one) < nameOf(other) ? -1 : 1));
    arrange(element, none, endpoints, sorted, nameOf, endpointView);
  };
  return { element, update };
}

function factView(parent, label) {
  const fact = add(parent, "div");
  const term = add(fact, "dt", { text: label });
  let shown = "";
  return (values) => {
    const now = JSON.stringify(values);
    if (now === shown) return;
    shown = now;
    fact.replaceChildren(term);
    for (const value of values.length ? values : ["any"]) add(fact, "dd", { text: value });
  };
}

function routeView() {
  const element = add(null, "section", { name: "route" });
  const title = add(element, "h2");
  const facts = add(element, "dl", { name: "facts" });
  const [hosts, paths, models] = ["Hosts", "Paths", "Models"].map((label) => factView(facts, label));
  const taken = add(element, "p", { name: "trouble" });
  const table = add(element, "table", { role: "table" });
  const caption = add(table, "caption");
  const head = add(table, "thead", { role: "rowgroup" });
  const row = add(head, "tr", { role: "row" });
  for (const [label, isNumber] of COLUMNS) {
    add(row, "th", { text: label, name: isNumber ? "number" : "", role: "columnheader" }).scope = "col";
  }
  const backends = new Map();
  const view = { element, words: "", shown: "" };
  view.update = (route) => {
    const now = JSON.stringify(route);
    if (now === view.shown) return;
    view.shown = now;
    say(title, route.name);
    say(caption, `Endpoints of ${route.name}`);
    hosts(route.hosts);
    paths(route.pathPrefixes);
    models(route.models);
    say(taken, conflictOf(route));
    taken.hidden = taken.textContent === "";
    arrange(table, head, backends, route.backends, (backend) => backend.name, backendView);
    view.words = wordsOf(route);
  };
  return view;
}

/** Which of its requests an earlier route has. */
function conflictOf({ conflicts = [] }) {
  const all = conflicts.map((of) => `${of.what} (${of.takenBy})`);
  return all.length ? `RouteConflict: an earlier route has these requests: ${all.join("; ")}.` : "";
}

/** What the filter looks at. */
function wordsOf(route) {
  const ofBackends = route.backends.flatMap((backend) => [
    backend.name,
    ...backend.endpoints.flatMap((of) => [of.cluster, of.name, of.address, of.condition]),
  ]);
  return [route.name, ...route.hosts, ...route.pathPrefixes, ...route.models, conflictOf(route), ...ofBackends].join("\n").toLowerCase();
}

function choose() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let chosen = 0;
  for (const view of views.values()) {
    const isChosen = words.every((word) => view.words.includes(word));
    if (view.element.hidden === isChosen) view.element.hidden = !isChosen;
    chosen += isChosen;
  }
  say(found, words.length ? `${numbers.format(chosen)} of ${numbers.format(views.size)} routes` : "");
}

function sum(routes) {
  const backends = routes.flatMap((route) => route.backends);
  const endpoints = backends.flatMap((backend) => backend.endpoints);
  const conditions = new Map();
  for (const { condition } of endpoints) conditions.set(condition, (conditions.get(condition) ?? 0) + 1);
  const counted = [...conditions].map(([condition, count]) => `${numbers.format(count)} ${condition}`).sort().join(", ");
  const total = (items, of) => numbers.format(items.reduce((all, item) => all + item[of], 0));
  return `${numbers.format(routes.length)} routes; endpoints: ${counted || "none"}; ` +
    `${total(endpoints, "inFlight")} requests in flight, ${total(backends, "waiting")} waiting.`;
}

function show(text) {
  if (text === told) return;
  const routes = JSON.parse(text);
  arrange(list, null, views, routes, (route) => route.name, routeView);
  empty.hidden = routes.length > 0;
  say(summary, sum(routes));
  choose();
  told = text;
}

function showAge() {
  if (!toldAt) return;
  const seconds = Math.floor((Date.now() - toldAt) / 1000);
  const isSilent = document.body.dataset.state === "silent";
  say(age, `As of ${new Date(toldAt).toLocaleTimeString()}${isSilent ? `, ${seconds} s ago` : ""}.`);
}

function enter(name, words) {
  document.body.dataset.state = name;
  document.title = name === "silent" ? "Not answering: Skyfleet gateway" : "Skyfleet gateway";
  say(state, words);
  showAge();
}

async function answer() {
  const response = await fetch("routes", { cache: "no-store", signal: AbortSignal.timeout(LIMIT) });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.text();
}

async function look() {
  // Nobody looks at a tab in the background.
  if (isAsking || document.hidden) return;
  isAsking = true;
  clearTimeout(timer);
  try {
    show(await answer());
    toldAt = Date.now();
    enter("live", "Live: looked at every two seconds.");
  } catch (error) {
    const old = toldAt ? "What is shown is old." : "Nothing was heard of it yet.";
    enter("silent", `The gateway does not answer (${error.message}). ${old}`);
  }
  isAsking = false;
  timer = setTimeout(look, PERIOD);
}

filter.addEventListener("input", choose);
filter.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  filter.value = "";
  choose();
});
document.getElementById("search").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("visibilitychange", look);
setInterval(() => document.body.dataset.state === "silent" && showAge(), 1000);
look();
