"use strict";
// Shows the state of a node as it comes. Names, keys and tags are chosen by others: they are only ever put into
// text nodes and values, and never become markup.

const SVG = "http://www.w3.org/2000/svg";
const RING_NODES_SHOWN = 24;
const byId = (id) => document.getElementById(id);
let state = null;
let clockBehind = 0; // milliseconds by which this browser's clock is behind the node's
let chosenRound = null;

function put(parent, name, options = {}, ...children) {
  const made = document.createElement(name);
  if (options.className) made.className = options.className;
  if (options.title) made.title = options.title;
  made.append(...children);
  parent.append(made);
  return made;
}

function draw(parent, name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

const number = (value) => value.toLocaleString("en");

function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) { value /= 1000; at += 1; }
  return `${value < 10 && at ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

function ago(milliseconds) {
  const seconds = Math.max(0, (Date.now() + clockBehind - milliseconds) / 1000);
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

function since(parent, milliseconds, otherwise) {
  const place = put(parent, "td");
  if (milliseconds) { place.dataset.since = String(milliseconds); place.textContent = ago(milliseconds); }
  else place.textContent = otherwise;
}

const TONES = {
  up: "good", ready: "good", converged: "good", repaired: "good", equal: "good", "not needed": "good",
  down: "bad", unhealthy: "bad", failed: "bad", starting: "warn", draining: "warn", unknown: "warn",
  incomplete: "warn", skipped: "warn", busy: "warn",
};

function badge(parent, text) {
  return put(parent, "span", { className: `badge ${TONES[text] || ""}` }, text);
}

function leftOut(id, count, what) {
  byId(id).textContent = count ? `${number(count)} more ${what}` : "";
}

function showHead() {
  document.title = `${state.node} · gossipnode`;
  byId("node").textContent = state.node;
  byId("state").textContent = state.state;
  byId("state").className = `badge ${TONES[state.state] || ""}`;
  byId("about").textContent = `${state.address} · version ${state.version} · epoch ${state.epoch} · memory ` +
    `${bytes(state.memory.held)} of ${bytes(state.memory.budget)} · disk ${bytes(state.disk.free)} free`;
  const notices = byId("notices");
  notices.replaceChildren();
  for (const text of [state.problem, ...state.warnings]) if (text) put(notices, "p", { className: "notice" }, text);
}

function showMembers() {
  const list = byId("members");
  list.replaceChildren();
  for (const member of state.members) {
    const card = put(list, "li");
    put(card, "strong", {}, member.name);
    badge(card, member.state);
    if (member.role) badge(card, member.role);
    const own = member.name === state.node ? "this node" : "";
    const clock = member.clock_ahead !== null && Math.abs(member.clock_ahead) >= 1
      ? `our clock is ${Math.abs(member.clock_ahead)} s ${member.clock_ahead > 0 ? "ahead" : "behind"}` : "";
    const problem = member.state === "up" ? "" : member.problem;
    const behind = member.behind_because ? `lacks writes: ${member.behind_because}` : "";
    for (const text of [member.address, own, clock, problem, behind])
      if (text) put(card, "div", { className: "quiet" }, text);
  }
  leftOut("members-more", state.members_left_out, "members");
}

function showGroups() {
  const body = byId("groups");
  body.replaceChildren();
  for (const group of state.groups) {
    const row = put(body, "tr");
    const first = put(row, "td", {}, group.name);
    put(first, "div", { className: "quiet" }, `${group.replicas} replicas, ack ${group.ack}`);
    put(row, "td", { className: "number" }, `${number(group.held)} of ${number(group.shards)}`);
    put(row, "td", { className: "number" }, number(group.records));
    put(row, "td", { className: "number" }, number(group.tombstones));
    since(row, group.never_equal ? 0 : group.equal_since, group.never_equal ? `${number(group.never_equal)} not yet known` : "–");
    put(row, "td", { className: "number" }, group.behind ? number(group.behind) : "–");
  }
  leftOut("groups-more", state.groups_left_out, "groups");
  const names = byId("group-names");
  names.replaceChildren();
  for (const group of state.groups) put(names, "option").value = group.name;
}

function showShards() {
  const body = byId("shards");
  body.replaceChildren();
  for (const shard of state.shards) {
    const row = put(body, "tr");
    put(row, "td", {}, `${shard.group}/${shard.shard}`);
    put(row, "td", {}, shard.replicas.join(", "));
    put(row, "td", { className: "number" }, number(shard.records));
    since(row, shard.equal_since, "not yet known");
    put(row, "td", { className: "number" }, shard.behind ? number(shard.behind) : "–");
    const moving = shard.moving;
    put(row, "td", {}, moving ? `to ${moving.to.join(", ")}: ${number(moving.done)} of ${number(moving.total)}` : "–");
  }
  leftOut("shards-more", state.shards_left_out, "shards that need no look");
  if (state.moving) byId("shards-section").open = true;
}

function showRounds() {
  const list = byId("rounds");
  list.replaceChildren();
  if (!state.rounds.length) put(list, "li", { className: "quiet" }, "This node has started no round yet.");
  for (const round of state.rounds) {
    const choice = put(put(list, "li"), "button", { className: "choice" });
    choice.type = "button";
    choice.setAttribute("aria-pressed", String(round.round === shownRound()?.round));
    badge(choice, round.outcome || "under way");
    choice.append(` ${round.group}/${round.shard}, ${round.hops.length} hops, ${round.seconds.toFixed(1)} s, `);
    const when = put(choice, "span", { className: "quiet" }, ago(round.started));
    when.dataset.since = String(round.started);
    choice.addEventListener("click", () => { chosenRound = round.round; showRounds(); showRing(); });
  }
}

function shownRound() {
  return state.rounds.find((round) => round.round === chosenRound)
    || state.rounds.find((round) => round.hops.length) || state.rounds[0];
}

function showRing() {
  const ring = byId("ring");
  const list = byId("hops");
  ring.replaceChildren();
  list.replaceChildren();
  const round = shownRound();
  if (!round) return;
  byId("ring-about").textContent = `Round of ${round.group}/${round.shard} from ${round.origin}: ` +
    `${round.outcome || "under way"}, hop by hop`;
  const shard = state.shards.find((each) => each.group === round.group && each.shard === round.shard);
  const hops = round.hops.filter((hop) => hop.to);
  const names = new Set([...(shard ? shard.replicas : []), ...hops.flatMap((hop) => [hop.from, hop.to])]);
  const shown = [...names].sort().slice(0, RING_NODES_SHOWN);
  const places = new Map(shown.map((name, at) => {
    const angle = 2 * Math.PI * at / shown.length - Math.PI / 2;
    return [name, [160 + 112 * Math.cos(angle), 160 + 112 * Math.sin(angle)]];
  }));
  const markers = draw(ring, "defs", {});
  const marker = draw(markers, "marker", {
    id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 5, markerHeight: 5, orient: "auto-start-reverse",
  });
  draw(marker, "path", { d: "M0 0 L8 4 L0 8 z", fill: "context-stroke" });
  draw(ring, "circle", { class: "rim", cx: 160, cy: 160, r: 112 });
  const between = new Map();
  const steps = [];
  hops.forEach((hop, at) => {
    const [from, to] = [places.get(hop.from), places.get(hop.to)];
    if (!from || !to) return;
    const pair = [hop.from, hop.to].join("\n");
    const nth = (between.get(pair) || 0) + 1;
    between.set(pair, nth);
    steps.push(drawHop(ring, from, to, hop, at + 1, nth));
  });
  for (const [name, [x, y]] of places) drawPeer(ring, name, x, y);
  for (const [x, y, step] of steps) {
    draw(ring, "circle", { class: "step", cx: x, cy: y, r: 9 });
    draw(ring, "text", { x, y: y + 4 }, String(step));
  }
  round.hops.forEach((hop, at) => showHop(list, hop, at + 1));
  if (round.hops_left_out) put(list, "li", { className: "quiet" }, `${round.hops_left_out} more hops`);
}

function drawHop(ring, from, to, hop, step, nth) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = Math.hypot(dx, dy) || 1;
  const [ux, uy] = [dx / length, dy / length];
  const bend = 16 + 36 * (nth - 1);
  const middle = [(from[0] + to[0]) / 2 - uy * bend, (from[1] + to[1]) / 2 + ux * bend];
  const start = [from[0] + ux * 20, from[1] + uy * 20];
  const end = [to[0] - ux * 22, to[1] - uy * 22];
  draw(ring, "path", {
    class: `hop ${Object.hasOwn(TONES, hop.outcome) ? hop.outcome : ""}`, "marker-end": "url(#tip)",
    d: `M${start.join(" ")} Q${middle.join(" ")} ${end.join(" ")}`,
  });
  return [start[0] / 4 + middle[0] / 2 + end[0] / 4, start[1] / 4 + middle[1] / 2 + end[1] / 4, step];
}

function drawPeer(ring, name, x, y) {
  draw(ring, "circle", { class: "peer", cx: x, cy: y, r: 18 });
  const short = name.length > 9 ? `${name.slice(0, 8)}…` : name;
  const inside = short.length <= 4;
  draw(ring, "text", { x, y: inside ? y + 4 : y > 160 ? y + 32 : y - 24 }, short);
}

function showHop(list, hop, step) {
  const line = put(list, "li", {}, `${step}. ${hop.from} → ${hop.to || "nobody"} `);
  badge(line, hop.outcome);
  const moved = hop.sent || hop.received ? ` ${number(hop.sent)} sent, ${number(hop.received)} received` : "";
  line.append(`${moved}${hop.reason ? ` ${hop.reason}` : ""}`);
}

function showEvents() {
  const list = byId("events");
  list.replaceChildren();
  if (!state.events.length) put(list, "li", { className: "quiet" }, "Nothing has happened since the node started to show itself.");
  for (const event of state.events) {
    const line = put(list, "li");
    badge(line, event.kind);
    line.append(` ${event.text} `);
    put(line, "span", { className: "quiet" }, ago(event.at)).dataset.since = String(event.at);
  }
}

function showAll() {
  for (const show of [showHead, showMembers, showGroups, showShards, showRounds, showRing, showEvents]) show();
}

function showAges() {
  for (const place of document.querySelectorAll("[data-since]")) place.textContent = ago(Number(place.dataset.since));
}

async function ask(event) {
  event.preventDefault();
  const said = byId("query-said");
  const list = byId("records");
  said.textContent = "asking…";
  const asked = new URLSearchParams({
    group: byId("query-group").value, name: byId("query-name").value, id: byId("query-id").value,
    where: byId("query-where").value, order_by: byId("query-order-by").value,
    desc: byId("query-desc").checked ? "yes" : "", limit: byId("query-limit").value,
  });
  try {
    const answer = await fetch(`/records?${asked}`);
    const text = await answer.text();
    list.replaceChildren();
    if (!answer.ok) { said.textContent = text; return; }
    const { records, more } = JSON.parse(text);
    said.textContent = more ? `the first ${records.length} of more: narrow the query, or raise the limit`
      : `${records.length} records`;
    for (const record of records) {
      const line = put(list, "li");
      put(line, "div", { className: "key" }, record.key);
      for (const [name, value] of record.tags) {
        const tag = put(line, "span", { className: "tag" });
        put(tag, "b", {}, name);
        tag.append(` ${value}`);
      }
      if (record.problem) put(line, "div", { className: "quiet" }, record.problem);
      put(line, "div", { className: "quiet" }, `revision ${record.revision}`);
    }
  } catch (problem) {
    said.textContent = `the node does not answer: ${problem.message}`;
  }
}

function follow() {
  const source = new EventSource("/events");
  const link = byId("link");
  const say = (text, tone) => { link.textContent = text; link.className = `badge ${tone}`; };
  source.addEventListener("message", (message) => {
    const told = JSON.parse(message.data);
    clockBehind = told.now - Date.now();
    state = told.state;
    showAll();
    say("live", "good");
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) {
      // Refused, for instance because too many pages are open. The browser does not try again by itself.
      say("not followed: trying again in 10 s", "bad");
      setTimeout(follow, 10000);
    } else say("lost: trying again", "bad");
  });
}

byId("query").addEventListener("submit", ask);
setInterval(showAges, 1000);
follow();
