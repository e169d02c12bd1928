// SPDX-License-Identifier: MIT
// The page's behaviour: one WebSocket that speaks chatd.v1.json (docs/PROTOCOL.md), in one room at a time. What others say
// gets into the page as text only, never as HTML. A room's epoch and a message's number say which message is which, so that
// each one is shown once, whatever happens to the connection. Long because the page is one file for each language.
"use strict";

const LINES_MAX = 2000; // beyond these the oldest go, and come back by scrolling
const HISTORY_STEP = 50, HISTORY_MOST = 200;
const GAP_STEPS = 10; // so many questions for what is in a gap
const PRIVATE_KEPT = 100; // nobody else stores them
const SEEN_ROOMS = 500, SETTLE_MS = 16, QUIET_MS = 500;
const ROOMS_EVERY_MS = 10000, HIDDEN_ROOMS_EVERY_MS = 30000, PING_EVERY_MS = 25000, ANSWER_WITHIN_MS = 10000;
const RETRY_FIRST_MS = 500, RETRY_MOST_MS = 15000;
const FOLLOWS_WITHIN_US = 5 * 60 * 1e6;
const SENT_AWAY = 1008; // RFC 6455, 7.4.1: a policy is violated
const ASK_BEFORE_LINES = 10;

const $ = (id) => document.getElementById(id);
const here = {
  room: "", epoch: "", nick: "", last: 0, oldest: 0, // numbers of the newest and the oldest message that is shown
  commands: [], people: [], rooms: [],
  unread: 0, unsure: [], // what was sent and has not come back yet
  asking: false, complete: false, // older messages: asked for, or there are none
  later: false, // there is more behind the last line, which was too much for a page whose reader is far up
};
const privates = []; // messages to and from this page, the oldest first: they belong to no room
const gaps = new Map(); // by the id of the question that is to fill it

// --- what is remembered in the browser ---

function remembered(store, key, otherwise) {
  try {
    return JSON.parse(store.getItem(key)) ?? otherwise;
  } catch {
    return otherwise; // it may be forbidden
  }
}

function remember(store, key, value) {
  try {
    store.setItem(key, JSON.stringify(value));
  } catch { /* then it isn't */ }
}

// The newest message that was read, in each room. A room may have any name, so this is no object.
const seen = new Map(Object.entries(remembered(localStorage, "chatd-seen", {})));

function markSeen() {
  if (document.hidden || !here.room || !following || here.later) return;
  seen.delete(here.room);
  seen.set(here.room, { epoch: here.epoch, number: here.last });
  if (seen.size > SEEN_ROOMS) seen.delete(seen.keys().next().value);
  remember(localStorage, "chatd-seen", Object.fromEntries(seen));
  here.unread = 0;
  showTitle();
}

// --- elements ---

function element(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

// An address without what belongs to the sentence around it; a bracket that it opened is its own.
function withoutEnd(text) {
  for (;;) {
    const end = /[).,;:!?\]]$/.exec(text)?.[0];
    if (!end || (end === ")" && text.split("(").length >= text.split(")").length)) return text;
    text = text.slice(0, -1);
  }
}

// Addresses of web pages become links, and nothing else does.
function withLinks(text) {
  const parts = [];
  let from = 0;
  for (const m of text.matchAll(/\bhttps?:\/\/[^\s<>"']+/gi)) {
    const shown = withoutEnd(m[0]);
    let url;
    try {
      url = new URL(shown);
    } catch {
      continue;
    }
    // What stands in front of an @ looks like another site's name.
    if ((url.protocol !== "http:" && url.protocol !== "https:") || url.username || url.password) continue;
    const a = element("a", "", shown);
    a.href = url.href;
    a.target = "_blank";
    a.rel = "noopener noreferrer nofollow";
    parts.push(text.slice(from, m.index), a);
    from = m.index + shown.length;
  }
  return [...parts, text.slice(from)];
}

function hueOf(nick) {
  let hue = 0;
  for (const c of nick) hue = (hue * 31 + c.codePointAt(0) * 47) % 360;
  return hue;
}

function nickElement(nick) {
  const e = element("span", "nick", nick);
  e.style.setProperty("--hue", hueOf(nick));
  return e;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", year: "numeric", month: "long", day: "numeric" });
const dayOf = (us) => new Date(us / 1000).toDateString();

function timeElement(us) {
  const at = new Date(us / 1000), e = element("time", "time", clock.format(at));
  e.dateTime = at.toISOString();
  e.title = at.toLocaleString();
  return e;
}

// What a line says, as nodes.
function wording(m) {
  const nick = m.nick ? nickElement(m.nick) : "";
  switch (m.type) {
    case "message": return [...(nick ? [nick, element("span", "unseen", ": ")] : []), element("span", "words", ...withLinks(m.text))];
    case "action": return [nick, " ", ...withLinks(m.text)];
    case "join": return [m.nick, " joined"];
    case "leave": case "quit": return [m.nick, " left"];
    case "rename": return [m.nick, " is now ", m.text];
    case "topic": return [m.nick, " set the topic: ", ...withLinks(m.text)];
    case "mode": return [m.nick, " set mode ", m.text];
    case "kick": return [m.nick, " removed ", m.text];
    case "private": return m.from ? [nickElement(m.from), " to you: ", ...withLinks(m.text)] : ["You to ", nickElement(m.to), ": ", ...withLinks(m.text)];
    case "missing": return [m.lines === 1 ? "1 message is missing here" : (m.lines ?? "Some") + " messages are missing here"];
    default: return withLinks(m.text ?? "");
  }
}

const isSpoken = (m) => m.type === "message" || m.type === "action";

function lineElement(m) {
  const kind = isSpoken(m) || ["private", "reply", "error"].includes(m.type) ? m.type : "notice";
  const e = element("div", "line " + kind, m.time ? timeElement(m.time) : element("span", "time"), element("div", "what", ...wording(m)));
  if (kind === "message" && m.nick) {
    e.dataset.initial = [...m.nick][0].toUpperCase();
    e.style.setProperty("--hue", hueOf(m.nick));
  }
  if (isSpoken(m) && m.nick === here.nick) e.classList.add("mine");
  e.message = m;
  return e;
}

// --- the log ---

const log = $("log"), lines = $("lines");
// Whether the newest is followed, which it is till its reader scrolls up. Who asked the page for it at each message would
// have it laid out anew each time, so it is found out when something was scrolled.
let following = true, lastTop = 0, settleTimer = 0, quietTimer = 0;
const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;

function scrolled() {
  // Lines that came meanwhile are no reason to stop following; going up is.
  following = log.scrollTop < lastTop - 1 || !following ? atEnd() : true;
  lastTop = log.scrollTop;
  if (log.scrollTop < 80) askOlder();
  if (following && here.later) toEnd();
  else if (following) settleSoon();
}

// What was added to the log is shown all at once.
function settleSoon() {
  settleTimer ||= setTimeout(settle, SETTLE_MS);
}

function settle() {
  clearTimeout(settleTimer);
  settleTimer = 0;
  trim();
  if (!following) return;
  log.scrollTop = log.scrollHeight;
  lastTop = log.scrollTop;
  $("newest").hidden = true;
  markSeen();
}

function toEnd() {
  following = true;
  if (here.later) {
    emptyLines();
    here.oldest = here.last + 1;
    askOlder();
  }
  settle();
}

// What isn't new isn't read aloud.
function quietly() {
  log.setAttribute("aria-live", "off");
  clearTimeout(quietTimer);
  quietTimer = setTimeout(() => log.removeAttribute("aria-live"), QUIET_MS);
}

// How a line looks depends on the one before it.
function arrange(e) {
  const before = e?.previousElementSibling?.message, m = e?.message;
  if (!m) return;
  e.classList.toggle("follows", m.type === "message" && before?.type === "message" && before.nick === m.nick &&
    m.time - before.time < FOLLOWS_WITHIN_US && !!m.nick);
}

function dateElement(us) {
  const e = element("div", "date", calendar.format(new Date(us / 1000)));
  e.day = dayOf(us);
  return e;
}

// Behind `after` (null: at the top) if its day is another one than that of what is before.
function datedAfter(after, m) {
  let e = after;
  while (e && !e.message?.time && !e.day) e = e.previousElementSibling;
  return m.time && (!e || (e.day ?? dayOf(e.message.time)) !== dayOf(m.time)) ? [dateElement(m.time)] : [];
}

function append(m) {
  if (!following) $("newest").hidden = false;
  if (here.later) return;
  const e = lineElement(m);
  lines.append(...datedAfter(lines.lastElementChild, m), e);
  arrange(e);
  settleSoon();
}

// Too many lines: the oldest go, or the newest from a reader who is far up. Both come back by scrolling.
function trim() {
  if (following && lines.childElementCount > LINES_MAX) {
    while (lines.childElementCount > LINES_MAX - HISTORY_STEP) lines.firstElementChild.remove();
    const first = lines.firstElementChild;
    here.oldest = [...lines.children].find((e) => e.message?.number)?.message.number ?? here.oldest;
    here.complete = false;
    if (first.message?.time) lines.prepend(dateElement(first.message.time));
    arrange(first);
    showOlder();
  } else if (!following && lines.childElementCount > 2 * LINES_MAX) {
    while (lines.childElementCount > 2 * LINES_MAX - HISTORY_STEP) lines.lastElementChild.remove();
    here.later = true;
    $("newest").hidden = false;
  }
}

function note(type, text) {
  append({ type, text, time: Date.now() * 1000 });
}

function emptyLines() {
  lines.replaceChildren();
  gaps.clear();
  here.oldest = 0;
  here.asking = here.complete = here.later = false;
}

function clearLines() {
  emptyLines();
  here.last = here.unread = 0;
  following = true;
  $("newest").hidden = true;
}

function showOlder() {
  $("older").hidden = !here.oldest || here.complete;
  $("beginning").hidden = !here.complete;
}

// An event of the room.
function event(m) {
  if (m.room !== here.room || m.epoch !== here.epoch || m.number <= here.last) return;
  here.last = m.number;
  if (!here.oldest) here.oldest = m.number;
  // In a raw room nobody's name stands.
  if (isSpoken(m) && (m.nick === here.nick || !m.nick)) arrived(m.text);
  const old = seen.get(m.room);
  const news = isSpoken(m) && m.nick !== here.nick && !(old?.epoch === m.epoch && m.number <= old.number);
  if (news && (document.hidden || !following) && here.unread++ === 0 && old && !here.later) {
    for (const e of lines.querySelectorAll(".fresh")) e.remove();
    lines.append(element("div", "fresh", "New"));
  }
  append(m);
  showOlder();
  if (news) showTitle();
  if (!isSpoken(m)) askWhoSoon();
}

// --- older messages, and gaps ---

function askOlder() {
  if (here.asking || here.complete || !here.oldest || !connected()) return;
  here.asking = send({ do: "history", before: here.oldest, limit: HISTORY_STEP, id: "older" });
}

// Rows of history, the oldest first, as what the room's events are.
const asEvents = (m) => m.messages.map((row) => ({ ...row, type: row.kind, room: m.room, epoch: m.epoch }));

// Puts them in front of `next`, or at the end.
function insert(messages, next) {
  for (const m of messages) {
    const e = lineElement(m), before = next ? next.previousElementSibling : lines.lastElementChild;
    for (const x of [...datedAfter(before, m), e]) lines.insertBefore(x, next);
    arrange(e);
  }
  // The date that stood first may be told already.
  if (next?.day) {
    let e = next.previousElementSibling;
    if (e?.message?.time && dayOf(e.message.time) === next.day) next.remove();
  }
  arrange(next?.message ? next : next?.nextElementSibling);
}

function showOlderMessages(m) {
  here.asking = false;
  const rows = asEvents(m).filter((row) => !row.number || row.number < here.oldest);
  const height = log.scrollHeight, top = log.scrollTop;
  quietly();
  insert(rows, lines.firstElementChild);
  placePrivates();
  const first = rows.find((row) => row.number);
  if (first) here.oldest = first.number;
  here.complete = !m.more;
  showOlder();
  if (!following) log.scrollTop = lastTop = top + log.scrollHeight - height;
  settle();
  fillPage();
}

// A log that can't be scrolled can't be asked for more by scrolling.
function fillPage() {
  if (log.scrollHeight <= log.clientHeight) askOlder();
}

// What was said while the page was away and doesn't come by itself is asked for, behind the last line that is there from
// before. As long as it isn't known that nothing is missing, the page says so. from: the first number that may be missing.
function openGap(from, text) {
  const e = element("div", "gap", text);
  lines.append(e);
  return { e, from, steps: 0 };
}

function askGap(g, before) {
  const id = "gap-" + before;
  if (send({ do: "history", before, limit: HISTORY_MOST, id })) gaps.set(id, g);
}

function stateGap(g) {
  g.e.textContent = "Some of what was said here while this page was away can't be had.";
}

function fillGap(id, m) {
  const g = gaps.get(id), all = asEvents(m), rows = all.filter((row) => !row.number || row.number >= g.from);
  gaps.delete(id);
  if (!g.e.isConnected) return;
  quietly();
  insert(rows, g.e.nextElementSibling);
  for (const row of rows) if (isSpoken(row) && row.nick === here.nick) arrived(row.text);
  const oldest = all.find((row) => row.number)?.number;
  // Something that was there before shows that nothing is missing.
  if (oldest < g.from) g.e.remove();
  else if (m.more && oldest && ++g.steps < GAP_STEPS) askGap(g, oldest);
  else if (g.from) stateGap(g);
  settle();
}

// Who asked for it by a command gets it as an answer, which isn't part of the room's messages.
function showFound(m, title) {
  note("reply", m.messages.length > 0 || !m.remark ? title : m.remark);
  insert(asEvents(m).map((row) => ({ ...row, number: 0, found: true })), null);
  if (m.messages.length > 0) note("reply", m.remark || "That was all of it; what follows is new.");
  toEnd();
}

function historyAnswer(m) {
  if (m.search !== undefined) {
    showFound(m, "What was found:");
  } else if (m.room !== here.room || m.epoch !== here.epoch) {
    here.asking = false;
  } else if (gaps.has(m.id)) {
    fillGap(m.id, m);
  } else if (m.id === "older") {
    showOlderMessages(m);
  } else {
    showFound(m, "What was said before:");
  }
}

// --- private messages ---

function privateMessage(m) {
  const p = { ...m, time: m.time ?? Date.now() * 1000 };
  privates.push(p);
  if (privates.length > PRIVATE_KEPT) privates.shift();
  append(p);
  if (p.from && document.hidden) {
    here.unread++;
    showTitle();
  }
}

function removeLine(e) {
  const before = e.previousElementSibling, next = e.nextElementSibling;
  e.remove();
  if (before?.day && (!next || next.day)) before.remove(); // it was the only one of that day
  arrange(next);
}

// The last line that isn't newer. What was looked up stands where it was asked for.
function lastUntil(time) {
  let e = lines.lastElementChild;
  while (e && !(e.message?.time <= time && !e.message.found)) e = e.previousElementSibling;
  return e;
}

// Puts those that were there before the room's messages came where they belong by their time.
function placePrivates() {
  for (const e of [...lines.querySelectorAll(".private")]) removeLine(e);
  for (const m of privates) {
    const e = lineElement(m), before = lastUntil(m.time);
    let next = before ? before.nextElementSibling : lines.firstElementChild;
    if (next?.day === dayOf(m.time)) next = next.nextElementSibling;
    for (const x of [...datedAfter(next ? next.previousElementSibling : lines.lastElementChild, m), e]) lines.insertBefore(x, next);
    arrange(e);
    arrange(next);
  }
}

// --- rooms and people ---

// How much is unread here, and in how many other rooms something is: how many messages those are isn't known.
function showTitle() {
  const n = here.unread + here.rooms.filter(isUnread).length;
  $("title").textContent = here.room || "chatd";
  document.title = (n ? "(" + n + ") " : "") + (here.room ? here.room + " – chatd" : "chatd");
}

const isUnread = (r) => r.name !== here.room && seen.has(r.name) && r.last > 0 &&
  (seen.get(r.name).epoch !== r.epoch || r.last > seen.get(r.name).number);

function showRooms() {
  const shown = here.rooms.some((r) => r.name === here.room) || !here.room ? here.rooms : [...here.rooms, { name: here.room, members: here.people.length }];
  const focused = document.activeElement?.closest?.("#rooms button")?.room;
  $("rooms").replaceChildren(...shown.map((r) => {
    const b = element("button", isUnread(r) ? "unread" : "", r.name);
    b.type = "button";
    b.room = r.name;
    if (r.name === here.room) b.setAttribute("aria-current", "true");
    if (isUnread(r)) b.append(element("span", "dot"), element("span", "unseen", "unread messages"));
    b.append(element("span", "number", String(r.members), element("span", "unseen", r.members === 1 ? " person" : " people")));
    b.addEventListener("click", () => goTo(r.name));
    return element("li", "", b);
  }));
  if (focused) [...$("rooms").querySelectorAll("button")].find((b) => b.room === focused)?.focus();
}

function showPeople(m) {
  if (m.room !== here.room) return;
  here.people = m.nicks;
  $("people-count").textContent = m.count;
  const more = m.count - m.nicks.length;
  $("people").replaceChildren(...m.nicks.map((nick) => {
    const e = element("li", "", nickElement(nick));
    if (nick === here.nick) e.append(" (you)");
    return e;
  }), ...(more > 0 ? [element("li", "", "and " + more + " more")] : []));
}

let whoTimer = 0;
function askWhoSoon() {
  whoTimer ||= setTimeout(() => {
    whoTimer = 0;
    send({ do: "who", id: "who" });
  }, 700);
}

// One question for all of them.
let askedRooms = 0;
function askRooms() {
  askedRooms = Date.now();
  send({ do: "rooms", id: "rooms" });
}

function askRoomsAgain() {
  if (!document.hidden || Date.now() - askedRooms >= HIDDEN_ROOMS_EVERY_MS) askRooms();
}

function goTo(room) {
  closePanels();
  if (!room || room === here.room) return;
  if (!send({ do: "join", room })) hint("Not connected; the room can be entered again in a moment.", true);
}

// --- the connection ---

let socket = null, retryMs = RETRY_FIRST_MS, retryTimer = 0, heardAt = 0, leaving = false;
// Name and password: those that were right are kept for as long as the page is open, so that it can come back by itself.
let account = null, trying = null, mustLogIn = false;
const connected = () => socket?.readyState === WebSocket.OPEN;

function send(what) {
  if (!connected()) return false;
  socket.send(JSON.stringify(what));
  return true;
}

function state(text, away) {
  const e = $("state");
  if (e.textContent !== text) e.textContent = text;
  e.classList.toggle("away", away);
}

function address() {
  const url = new URL("ws", location.href), q = new URLSearchParams();
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const room = here.room || wantedRoom() || remembered(sessionStorage, "chatd-room", "");
  const nick = here.nick || remembered(sessionStorage, "chatd-nick", "");
  asked = room;
  if (room) q.set("room", room);
  // Who was given a name that says nothing gets another one of these.
  if (nick && !/^guest\d+/.test(nick)) q.set("nick", nick);
  if (here.room && here.last) {
    q.set("epoch", here.epoch);
    q.set("since", here.last);
  }
  url.search = q;
  url.hash = "";
  return url;
}

function connect() {
  clearTimeout(retryTimer);
  state("Connecting …", true);
  const s = socket = new WebSocket(address(), "chatd.v1.json");
  setTimeout(() => {
    if (s === socket && s.readyState === WebSocket.CONNECTING) giveUp(s);
  }, ANSWER_WITHIN_MS);
  s.addEventListener("open", () => {
    heardAt = Date.now();
  });
  s.addEventListener("message", (e) => {
    heardAt = Date.now();
    if (s === socket) received(JSON.parse(e.data));
  });
  s.addEventListener("close", (e) => {
    if (s === socket) lost(e);
  });
}

function lost(e) {
  socket = null;
  here.asking = false;
  const why = e.reason ? " (" + e.reason + ")" : "";
  // Whoever was sent away doesn't come back by itself.
  if (leaving || e.code === SENT_AWAY) {
    $("login").close();
    state(leaving ? "You have left." : "You were sent away" + why, true);
    leaving = true;
    $("again").hidden = false;
    return;
  }
  state("Not connected" + why + "; trying again …", true);
  retryTimer = setTimeout(connect, retryMs * (0.75 + Math.random() / 2));
  retryMs = Math.min(retryMs * 2, RETRY_MOST_MS);
}

function comeBack() {
  leaving = false;
  $("again").hidden = true;
  connectNow();
  entry.focus();
}

// Its end may be long in coming.
function giveUp(s) {
  s.close();
  lost({ reason: "no answer" });
}

function connectNow() {
  if (!socket && !leaving) {
    retryMs = RETRY_FIRST_MS;
    connect();
  }
}

function beat() {
  if (!connected()) return;
  const asked = Date.now();
  send({ do: "ping", id: "ping" });
  const s = socket;
  setTimeout(() => {
    if (s === socket && heardAt < asked) giveUp(s);
  }, ANSWER_WITHIN_MS);
}

function joined(m) {
  const sameRoom = m.room === here.room, again = sameRoom && m.epoch === here.epoch;
  let g = null;
  if (mustLogIn) account = trying;
  $("login").close();
  if ($("hint").textContent.startsWith("Not connected")) hint("");
  // Who had to log in first is in the listener's room, wherever it wanted to go.
  if (mustLogIn && asked && asked !== m.room && m !== instead) {
    instead = m;
    send({ do: "join", room: asked, ...(asked === here.room && here.last ? { since: { epoch: here.epoch, number: here.last } } : {}), id: "rejoin" });
    return;
  }
  quietly();
  if (!sameRoom) {
    clearLines();
    $("people").replaceChildren();
    $("people-count").textContent = "";
    history.replaceState(null, "", "#" + encodeURIComponent(m.room));
    remember(sessionStorage, "chatd-room", m.room);
  } else if (!again) {
    // Its numbers are others than those from before.
    g = openGap(0, "The room has begun anew here; some of what was said before may be missing.");
    here.last = 0;
    here.complete = true;
  } else if (here.last && (m.gap || mustLogIn)) {
    g = openGap(here.last + 1, "What was said here while this page was away isn't here yet.");
  }
  mustLogIn = false;
  here.room = m.room;
  here.epoch = m.epoch;
  named(m.nick);
  retryMs = RETRY_FIRST_MS;
  state("Connected", false);
  showTitle();
  showRooms();
  askWhoSoon();
  askRooms();
  // What the room has to show comes right behind this, and in front of this answer.
  entering = { g, m };
  send({ do: "ping", id: "entered" });
}

let entering = null;
// The room that was asked for on connecting, and where one is as long as it isn't known whether that can be entered.
let asked = "", instead = null;

function entered() {
  const { g, m } = entering;
  takeBackUnsure();
  if (!here.oldest) here.oldest = m.next;
  quietly();
  placePrivates();
  if (g && !here.later) {
    let e = g.e;
    while (e && !e.message?.number) e = e.nextElementSibling;
    askGap(g, e?.message.number ?? m.next);
  }
  showOlder();
  settle();
  fillPage();
}

function arrived(text) {
  const i = here.unsure.findIndex((u) => u.text.trim() === text.trim());
  if (i >= 0) here.unsure.splice(i, 1);
}

// What was refused goes back to where it was written. True: that was it.
function refused(id, why) {
  const i = here.unsure.findIndex((u) => u.id === id);
  if (i < 0) return false;
  const [u] = here.unsure.splice(i, 1), most = /has more than (\d+) bytes/.exec(why)?.[1];
  entry.value = [u.text, entry.value].filter((t) => t).join("\n");
  resize();
  hint("Not sent: " + (most ? "it is longer than " + most + " bytes." : why), true);
  return true;
}

// What was sent and not seen in the room since goes back to where it was written, as nobody can tell.
function takeBackUnsure() {
  // What was meant for another room would be said in the wrong one.
  const texts = here.unsure.filter((u) => u.socket !== socket && u.room === here.room).map((u) => u.text);
  here.unsure = here.unsure.filter((u) => u.socket === socket);
  if (texts.length === 0) return;
  entry.value = [...texts, entry.value].filter((t) => t).join("\n");
  resize();
  hint("This may not have been sent; it has not come back.", true);
}

function named(nick) {
  here.nick = nick ?? here.nick;
  remember(sessionStorage, "chatd-nick", here.nick);
  if (document.activeElement !== $("nick")) $("nick").value = here.nick;
}

function askLogin(problem) {
  account = null;
  state("Log in to talk", true);
  if (!$("login").open) $("login").showModal();
  $("login-problem").textContent = problem;
}

const answers = {
  welcome(m) {
    here.commands = [...m.commands, { name: "help", arguments: "", help: "list the commands" }];
    if (m.nick) named(m.nick);
    mustLogIn = m.login;
    if (m.login && account) {
      trying = account;
      send({ do: "login", ...account, id: "login" });
    } else if (m.login) {
      askLogin("");
    }
  },
  joined,
  nick(m) {
    named(m.nick);
    askWhoSoon();
  },
  who(m) {
    m.nicks.sort(new Intl.Collator().compare);
    showPeople(m);
    if (m.id === "run") note("reply", m.count + (m.count === 1 ? " person" : " people") + " in " + m.room + ": " + m.nicks.join(", "));
  },
  rooms(m) {
    here.rooms = m.rooms;
    showRooms();
    showTitle();
    if (m.id === "run") note("reply", "The rooms: " + m.rooms.map((r) => r.name + " (" + r.members + ")").join(", "));
  },
  history: historyAnswer,
  private: privateMessage,
  skipped(m) {
    note("missing", "");
    lines.lastElementChild.querySelector(".what").textContent = m.count + " messages were left out, as this page was too slow.";
  },
  pong(m) {
    if (m.id === "entered") entered();
  },
  error(m) {
    if (m.id === "older") here.asking = false;
    if (refused(m.id, m.problem)) return;
    if (m.id === "nick") named();
    note("error", m.problem);
  },
  reply(m) {
    const text = m.text.replace(/^\* /, "");
    if (m.id === "older") here.asking = false;
    if (m.id === "rejoin") joined(instead);
    if (m.id === "nick") $("nick").value = here.nick;
    if (m.id === "login" && mustLogIn) askLogin(text);
    else if (refused(m.id, text)) return;
    else if (gaps.has(m.id)) stateGap(gaps.get(m.id));
    else if (m.id === "older") here.complete = true;
    else if (m.id !== "who" && m.id !== "rooms" && m.id !== "ping") note("reply", text);
  },
};

function received(m) {
  if (Object.hasOwn(answers, m.type)) answers[m.type](m);
  else if (m.number !== undefined) event(m);
}

// --- writing ---

const entry = $("entry");

function hint(text, warn) {
  $("hint").textContent = text;
  $("hint").classList.toggle("warn", !!warn);
}

function resize() {
  entry.rows = Math.min(6, entry.value.split("\n").length);
}

let agreedTo = "", sayings = 0;

// A line for each message; a single one that begins with a slash is a command.
function submit() {
  const text = entry.value.replace(/\n+$/, ""), parts = text.split("\n").filter((l) => l.trim() !== "");
  if (parts.length === 0) return;
  if (!connected()) {
    hint("Not connected; this stays here until it can be sent.", true);
    return;
  }
  if (parts.length > ASK_BEFORE_LINES && agreedTo !== text) {
    agreedTo = text;
    hint("These are " + parts.length + " messages. Send them all? Press Enter once more.", true);
    return;
  }
  const command = parts.length === 1 && parts[0][0] === "/" && parts[0][1] !== "/";
  if (command && /^\/quit\b/i.test(parts[0])) leaving = true;
  for (const part of parts) {
    const line = parts.length === 1 ? part.replace(/^\/\//, "/") : part;
    if (command) {
      send({ do: "run", line: part, id: "run" });
    } else {
      const id = "say-" + ++sayings;
      here.unsure.push({ text: line, socket, id, room: here.room });
      send({ do: "say", text: line, id });
    }
  }
  entry.value = agreedTo = "";
  hint("");
  resize();
  suggest();
  toEnd();
}

// --- completion ---

const list = $("suggestions");
let chosen = -1;

function suggest() {
  const word = /^\/(\w*)$/.exec(entry.value)?.[1];
  const found = word === undefined ? [] : here.commands.filter((c) => c.name.startsWith(word.toLowerCase()));
  chosen = -1;
  entry.removeAttribute("aria-activedescendant");
  list.hidden = found.length === 0;
  list.replaceChildren(...found.map((c, i) => {
    const e = element("li", "", "/" + c.name + (c.arguments ? " " + c.arguments : ""), element("span", "help", c.help));
    e.id = "suggestion-" + i;
    e.setAttribute("role", "option");
    e.setAttribute("aria-selected", "false");
    e.command = c;
    e.addEventListener("mousedown", (ev) => {
      ev.preventDefault();
      complete(e);
    });
    return e;
  }));
  if (found.length > 0) hint(found.length + (found.length === 1 ? " command" : " commands") + "; arrow keys choose, Tab takes one");
  else if (!$("hint").classList.contains("warn")) showLines();
}

function showLines() {
  const n = entry.value.split("\n").filter((l) => l.trim() !== "").length;
  hint(n > 1 ? n + " lines: each is sent as a message" : "");
}

function choose(step) {
  const all = list.children;
  if (chosen >= 0) all[chosen].setAttribute("aria-selected", "false");
  chosen = (chosen + step + all.length) % all.length;
  all[chosen].setAttribute("aria-selected", "true");
  all[chosen].scrollIntoView({ block: "nearest" });
  entry.setAttribute("aria-activedescendant", all[chosen].id);
}

function complete(e) {
  entry.value = "/" + e.command.name + (e.command.arguments ? " " : "");
  list.hidden = true;
  entry.removeAttribute("aria-activedescendant");
  hint(e.command.arguments ? "/" + e.command.name + " " + e.command.arguments : e.command.help);
}

// The nick that begins with the word before the cursor; false: there is none.
function completeNick() {
  const before = entry.value.slice(0, entry.selectionStart), word = /\S+$/.exec(before)?.[0];
  const nick = word && here.people.find((n) => n.toLowerCase().startsWith(word.toLowerCase()));
  if (!nick) return false;
  entry.setRangeText(nick + (word === before ? ": " : " "), before.length - word.length, before.length, "end");
  return true;
}

function keyDown(e) {
  if (e.isComposing) return;
  if (!list.hidden && (e.key === "ArrowDown" || e.key === "ArrowUp")) {
    choose(e.key === "ArrowDown" ? 1 : chosen < 0 ? 0 : -1);
  } else if (!list.hidden && (e.key === "Tab" || (e.key === "Enter" && chosen >= 0)) && !e.shiftKey) {
    complete(list.children[Math.max(chosen, 0)]);
  } else if (!list.hidden && e.key === "Escape") {
    list.hidden = true;
  } else if (e.key === "Enter" && !e.shiftKey) {
    submit();
  } else if (!(e.key === "Tab" && !e.shiftKey && completeNick())) {
    return;
  }
  e.preventDefault();
}

// --- panels ---

function setPanel(name, open) {
  $(name + "-panel").classList.toggle("open", open);
  $(name + "-toggle").setAttribute("aria-expanded", String(open));
}

function closePanels() {
  for (const name of ["rooms", "people"]) setPanel(name, false);
}

// --- beginning ---

function wantedRoom() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

function onSubmit(id, act) {
  $(id).addEventListener("submit", (e) => {
    e.preventDefault();
    act();
  });
}

function listenToForms() {
  onSubmit("say", submit);
  onSubmit("enter", () => {
    goTo($("room-name").value.trim());
    $("room-name").value = "";
  });
  onSubmit("rename", () => {
    closePanels();
    send({ do: "nick", nick: $("nick").value.trim(), id: "nick" });
  });
  onSubmit("login-form", () => {
    $("login-problem").textContent = "";
    trying = { name: $("login-name").value, password: $("login-password").value };
    $("login-password").value = "";
    if (!send({ do: "login", ...trying, id: "login" })) $("login-problem").textContent = "Not connected; please try again.";
  });
  // Nobody talks before that, so there is nothing to go back to.
  $("login").addEventListener("cancel", (e) => e.preventDefault());
  entry.addEventListener("keydown", keyDown);
  entry.addEventListener("input", () => {
    hint("");
    resize();
    suggest();
  });
}

function listenToPanels() {
  for (const name of ["rooms", "people"])
    $(name + "-toggle").addEventListener("click", () => {
      const open = !$(name + "-panel").classList.contains("open");
      closePanels();
      setPanel(name, open);
      // On a phone a field would open the keyboard over the list.
      if (open) $(name + "-panel").querySelector(matchMedia("(pointer: coarse)").matches ? "button" : "button, input")?.focus();
    });
  document.addEventListener("keydown", (e) => {
    const open = document.querySelector(".panel.open");
    if (e.key !== "Escape" || !open) return;
    closePanels();
    $(open.id.replace("panel", "toggle")).focus();
  });
}

function listenToLog() {
  $("older").addEventListener("click", askOlder);
  $("newest").addEventListener("click", () => {
    toEnd();
    entry.focus();
  });
  log.addEventListener("scroll", scrolled);
  // The keyboard of a phone makes the log shorter.
  new ResizeObserver(() => following && settle()).observe(log);
}

function begin() {
  listenToForms();
  listenToPanels();
  listenToLog();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    connectNow();
    askRooms();
    markSeen();
  });
  addEventListener("online", connectNow);
  $("again").addEventListener("click", comeBack);
  addEventListener("hashchange", () => goTo(wantedRoom()));
  setInterval(askRoomsAgain, ROOMS_EVERY_MS);
  setInterval(beat, PING_EVERY_MS);
  showTitle();
  connect();
  // On a phone that would open its keyboard.
  if (!matchMedia("(pointer: coarse)").matches) entry.focus();
}

begin();
