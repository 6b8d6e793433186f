// Draws what /stream tells. Whatever comes from the policy or from packets is set as text and never as markup.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
/** Samples that a graph is wide. */
const SAMPLES = 60;
/** Milliseconds without a report after which it is missed. */
const PATIENCE = 4000;
/** Milliseconds until it is tried again where the browser does not. */
const AGAIN = 5000;
/** Reports for each drawing of the graphs where the user wants little to move. */
const CALM = 5;

const at = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

let paused = false;
let reports = 0;
let heard = 0;
let lost = "";
/** Rows of the policy, by file and line. */
let policyRows = [];
/** Those that are marked. */
let hitRows = [];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** Sets a text, and leaves alone what says so already. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A number with three or four digits, and the letter for the rest. */
function short(number) {
  for (const [limit, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (number >= limit) {
      const unit = limit === 1e4 ? 1e3 : limit;
      return (number / unit).toPrecision(3) + letter;
    }
  }
  return number >= 100 || Number.isInteger(number) ? whole.format(Math.round(number)) : number.toFixed(1);
}

function bits(bytes) {
  let number = bytes * 8;
  for (const unit of ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]) {
    if (number < 1000 || unit === "Gbit/s") {
      return [number >= 100 ? number.toFixed(0) : number.toFixed(number < 10 && unit !== "bit/s" ? 2 : 1), unit];
    }
    number /= 1000;
  }
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return Math.floor(seconds) + " s";
  if (minutes < 60) return minutes + " min";
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return hours + " h " + (minutes % 60) + " min";
  return Math.floor(hours / 24) + " days";
}

function plural(number, one, many) {
  return whole.format(number) + " " + (number === 1 ? one : many);
}

/** The corners of a graph, as the data of a path, in a box so wide and high; the newest is on the right. */
function corners(series, top, width, height) {
  const step = width / (SAMPLES - 1);
  const begin = width - (series.length - 1) * step;
  const points = series.map((rate, place) => {
    const y = top > 0 ? height - (rate / top) * height : height;
    return (begin + place * step).toFixed(1) + " " + y.toFixed(1);
  });
  return { begin: begin.toFixed(1), line: points.join("L") };
}

function path(parent, className, data) {
  const made = document.createElementNS(SVG, "path");
  made.setAttribute("class", className);
  made.setAttribute("d", data);
  parent.append(made);
}

function plot(report) {
  const svg = at("plot");
  const received = report.frames_series;
  const top = Math.max(0, ...received, ...report.dropped_series);
  svg.replaceChildren();
  if (received.length > 1) {
    const all = corners(received, top, 600, 100);
    const dropped = corners(report.dropped_series, top, 600, 100);
    path(svg, "dropped-area", "M" + dropped.begin + " 100L" + dropped.line + "L600 100Z");
    path(svg, "received", "M" + all.line);
    path(svg, "dropped", "M" + dropped.line);
  }
  say(at("plot-max"), top > 0 ? short(top) + " packets/s" : "");
  say(at("plot-begin"), received.length > 1 ? received.length + " samples ago" : "");
  const last = (series) => short(series.at(-1) ?? 0);
  svg.setAttribute("aria-label", "Packets in a second over the last " + received.length + " samples: at most " + short(top)
    + ", now " + last(received) + " received, " + last(report.dropped_series) + " dropped");
}

function spark(svg, series) {
  svg.replaceChildren();
  const top = Math.max(0, ...series);
  if (top > 0 && series.length > 1) {
    const graph = corners(series, top, 120, 20);
    path(svg, "spark", "M" + graph.begin + " 20L" + graph.line + "L120 20Z");
  }
}

/** Brings the rows of a table in line with a list: one for each key, in this order, made once and filled each time. */
function fill(body, list, key, make, update, empty) {
  const present = new Map();
  for (const row of body.children) present.set(row.dataset.key, row);
  list.forEach((item, place) => {
    const name = key(item);
    let row = present.get(name);
    if (!row) {
      row = make();
      row.dataset.key = name;
    }
    present.delete(name);
    update(row, item);
    if (body.children[place] !== row) body.insertBefore(row, body.children[place] ?? null);
  });
  for (const row of present.values()) row.remove();
  if (list.length === 0) {
    const row = element("tr");
    const cell = element("td", empty, "none");
    cell.colSpan = 4;
    row.append(cell);
    body.append(row);
  }
}

function makeRow() {
  const row = element("tr");
  const name = element("th");
  name.scope = "row";
  name.append(element("span"), element("span", "", "small"));
  const graph = element("td", undefined, "graph");
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 120 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  graph.append(svg);
  const packets = element("td", undefined, "number");
  packets.append(element("span"), element("span", "", "small"));
  row.append(name, element("td", "", "number"), graph, packets);
  return row;
}

/** What is counted beside what a rule decided. */
function besides(row) {
  const parts = [];
  if (row.limited > 0) parts.push("+" + whole.format(row.limited) + " over limit");
  if (row.shadow > 0) parts.push(whole.format(row.shadow) + " not enforced");
  return parts.join(", ");
}

function table(id, list, draws, empty) {
  fill(at(id), list.rows, (row) => row.name, makeRow, (row, item) => {
    const [name, rate, graph, packets] = row.children;
    say(name.firstChild, item.name);
    say(name.lastChild, item.note);
    say(rate, short(item.per_second));
    say(packets.firstChild, whole.format(item.packets));
    say(packets.lastChild, besides(item));
    if (draws || !graph.firstChild.hasChildNodes()) spark(graph.firstChild, item.series);
  }, empty);
  say(at(id + "-hidden"), list.hidden > 0 ? whole.format(list.hidden) + " more are not shown: see portguard counters --all" : "");
}

function makeSource() {
  const row = element("tr");
  const address = element("th");
  address.scope = "row";
  const by = element("td");
  by.append(element("span"), element("span", "", "small"));
  row.append(address, by, element("td", "", "number"));
  return row;
}

function sources(shown) {
  at("sources-table").hidden = !shown;
  if (!shown) {
    say(at("sources-note"), "The policy has no events. With “events: { rate: 100/s }” in it, dropped packets are sampled, and their sources are listed here.");
    return;
  }
  fill(at("sources"), shown.rows, (source) => source.address, makeSource, (row, source) => {
    const [address, by, events] = row.children;
    say(address, source.address);
    say(by.firstChild, source.decided_by);
    say(by.lastChild, source.target);
    say(events, whole.format(source.events));
  }, "No event in the last minute.");
  say(at("sources-note"), "Sampled: " + plural(shown.events, "event", "events") + " in the last minute. In all "
    + whole.format(shown.account.delivered) + " of " + plural(shown.account.would_be, "drop", "drops") + " told, "
    + whole.format(shown.account.suppressed) + " beyond the budget, " + whole.format(shown.account.lost) + " lost. Source addresses can be forged.");
}

function interfaceText(one) {
  const states = { attached: one.mode ?? "attached", waiting: "WAITING", failed: "NOT FILTERED" };
  return one.name + " " + states[one.state] + (one.reason ? " (" + one.reason + ")" : "");
}

function texts(node, name, all, className) {
  const now = Array.from(node.children, (child) => child.textContent);
  if (JSON.stringify(now) !== JSON.stringify(all)) {
    node.replaceChildren(...all.map((text) => element(name, text, className)));
  }
}

function daemon(report) {
  const status = report.status;
  say(at("policy-path"), status.policy);
  say(at("generation"), String(status.generation));
  say(at("rule-count"), whole.format(status.rules) + (status.enforce ? ", enforced" : ", NOT ENFORCED"));
  texts(at("interfaces"), "li", status.interfaces.map(interfaceText));
  const last = status.last_reload;
  say(at("reload"), last
    ? (last.ok ? "accepted " : "REFUSED ") + new Date(last.unix_time * 1000).toLocaleString()
    : "none yet");
  say(at("version"), status.version + ", up " + duration(report.uptime_s));
  const alerts = status.degraded.map((reason) => "DEGRADED: " + reason);
  if (!status.enforce) alerts.unshift("DRY RUN: everything is counted, nothing is dropped.");
  if (last && !last.ok && last.error) alerts.push("The last reload was refused: " + last.error);
  texts(at("alerts"), "p", alerts, "alert");
  const trial = at("trial");
  trial.hidden = status.trial_s === null;
  if (status.trial_s !== null) {
    say(trial, "ON TRIAL: " + status.trial_s + " s left. “portguard confirm” keeps this policy; otherwise the one before comes back.");
  }
}

function traffic(report) {
  say(at("rate"), report.rate ? short(report.rate.packets_per_second) : "–");
  const [number, unit] = report.rate ? bits(report.rate.bytes_per_second) : ["–", "bit/s"];
  say(at("bits"), number);
  say(at("bits-unit"), unit);
  say(at("dropped-rate"), report.dropped_per_second === null ? "–" : short(report.dropped_per_second));
  say(at("frames"), whole.format(report.frames.packets));
  say(at("dropped"), whole.format(report.dropped));
}

function policyRow(line, place) {
  const row = element("tr");
  const number = element("th", String(place + 1), "number");
  number.scope = "row";
  const packets = element("td", undefined, "number");
  packets.append(element("span"), element("span", "", "more"));
  row.append(number, packets, element("td", line, line.trimStart().startsWith("#") ? "text comment" : "text"));
  return row;
}

function fileRow(name) {
  const row = element("tr");
  const head = element("th", name, "file");
  head.scope = "rowgroup";
  head.colSpan = 3;
  row.append(head);
  return row;
}

/** Shows the text of another policy: its file, and where there are drop-ins each of them, below its name. */
function policy(text) {
  const isAlone = text.files.length === 1;
  policyRows = text.files.map((file) => file.lines.map(policyRow));
  const bodies = text.files.map((file, place) => {
    const body = element("tbody");
    if (!isAlone) body.append(fileRow(file.name));
    body.append(...policyRows[place]);
    return body;
  });
  hitRows = [];
  const table = at("policy");
  for (const body of Array.from(table.tBodies)) body.remove();
  table.append(...bodies);
  const hidden = text.files.filter((file) => file.hidden > 0).map((file) =>
    plural(file.hidden, "more line", "more lines") + (isAlone ? "" : " of " + file.name) + (file.hidden === 1 ? " is" : " are") + " not shown.");
  if (text.hidden_files > 0) hidden.push(plural(text.hidden_files, "more file is", "more files are") + " not shown.");
  say(at("policy-hidden"), hidden.join(" "));
}

function hits(lines) {
  const counted = new Map(lines.map((line) => [policyRows[line.file]?.[line.line - 1], line]));
  counted.delete(undefined);
  for (const row of hitRows) {
    if (!counted.has(row)) mark(row, { packets: 0, limited: 0, shadow: 0 }, false);
  }
  hitRows = [...counted.keys()];
  for (const [row, line] of counted) mark(row, line, true);
}

function mark(row, line, isHit) {
  row.classList.toggle("hit", isHit);
  const cell = row.children[1];
  say(cell.firstChild, isHit ? whole.format(line.packets) : "");
  say(cell.lastChild, besides(line));
}

function show(report) {
  daemon(report);
  if (paused) return;
  const draws = !calm.matches || reports % CALM === 0;
  reports += 1;
  traffic(report);
  if (draws) plot(report);
  table("rules", report.rules, draws, "The policy has no rules.");
  table("ports", report.ports, draws, "Nothing was dropped yet.");
  table("outcomes", report.outcomes, draws, "Nothing was counted yet.");
  sources(report.sources);
  hits(report.lines);
}

/** Says how it is with the connection. */
function state() {
  const silent = heard > 0 ? Math.floor((performance.now() - heard) / 1000) : 0;
  const isSilent = silent * 1000 >= PATIENCE;
  const text = lost ? "▲ " + lost
    : heard === 0 ? "Connecting…"
      : isSilent ? "▲ No report for " + silent + " s"
        : paused ? "❚❚ Paused" : "● Live";
  say(at("state"), text);
  at("state").classList.toggle("wrong", Boolean(lost) || isSilent);
}

function connect() {
  const stream = new EventSource("/stream");
  stream.addEventListener("policy", (event) => policy(JSON.parse(event.data)));
  stream.addEventListener("report", (event) => {
    lost = "";
    heard = performance.now();
    show(JSON.parse(event.data));
    state();
  });
  stream.addEventListener("failed", (event) => {
    lost = JSON.parse(event.data);
    state();
  });
  stream.addEventListener("error", () => {
    lost = "No connection, trying again";
    if (stream.readyState === EventSource.CLOSED) {
      // It was refused: the daemon serves as many pages as it can, or this one no more.
      lost = "Refused: too many pages are open, or this one is not served any more. Trying again";
      setTimeout(connect, AGAIN);
    }
    state();
  });
}

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  state();
});
setInterval(state, 1000);
connect();
