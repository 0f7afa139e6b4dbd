// The page /check: what is checked stays on this device. The link comes from the fragment or the field, the proof from a file;
// what is asked of the node is the same for every link of a bucket. All words are in the page.

import { Charters, MAX_BUCKET, Refused, answerOf, bucketName, canonicalLink, checkCode, digestOf, hex, readBucket, readHead, readStatusProof, sayStatus, verifyHead, verifyStatusProof } from "./verify.js";

const MAX_HEAD = 64 * 1024;
const MAX_CHARTERS = 4 << 20;
const MAX_FILE = 1 << 20;
/** Times that head and bucket are asked for, while the federation's log goes on in between. */
const TRIES = 3;

/** The charters of a saved page, which asks nobody for anything. */
const SAVED = document.getElementById("saved");

const find = (id) => document.getElementById(id);
const word = (name) => document.querySelector(`[data-word="${name}"]`).textContent.trim();
const language = document.documentElement.lang;

/** Something the page says in words, that is nobody's fault. */
class Trouble extends Error {}

function element(name, text, ...inside) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...inside);
  return made;
}

/** The bytes of a resource of this node, at most so many; null where there is none. */
async function get(path, max) {
  let response;
  try {
    // Nothing but the path: no cookie, no referrer, no body.
    response = await fetch(path, { credentials: "omit", referrerPolicy: "no-referrer", headers: { accept: "application/json" } });
  } catch {
    throw new Trouble(word("no-network"));
  }
  if (response.status === 404) return null;
  if (!response.ok) throw new Trouble(`${word("no-network")} (${response.status})`);
  const parts = [];
  let length = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > max) throw new Trouble(`${path}: > ${max}`);
    parts.push(value);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** The charters to verify by: those of the user's own file, else the node's. */
let charters = null;

async function theCharters() {
  if (charters) return charters;
  if (SAVED) {
    await take(JSON.parse(SAVED.textContent), "saved-charter");
    return charters;
  }
  const bytes = await get("/api/v1/verify/charters", MAX_CHARTERS);
  if (!bytes) throw new Trouble(word("no-charter"));
  await take(JSON.parse(new TextDecoder().decode(bytes)), "node-charter");
  return charters;
}

async function take(texts, from) {
  charters = await Charters.read(texts);
  find("digest").textContent = charters.pinned;
  find("digest-of").textContent = word(from);
}

const MOMENT = { day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", timeZone: "Europe/Moscow", timeZoneName: "short" };
const moment = (ms) => new Intl.DateTimeFormat(language, MOMENT).format(ms);
const hours = (ms) => Math.max(0, Math.floor((Date.now() - ms) / 3_600_000));

const member = (code) => charters?.latest.regions.find((r) => r.code === code);

/** An owner as people know it: the region whose authority it is, and its id. */
function ownerWords(id) {
  const region = charters?.latest.regions.find((r) => r.authority === id);
  return region ? `${region.name}, ${id}` : (id ?? "—");
}

function show(state, owner, rows, more = []) {
  const answer = find("answer");
  const words = document.querySelector(`template[data-state="${state}"]`).content.cloneNode(true);
  for (const says of words.querySelectorAll(".says")) says.textContent = says.textContent.replace("{owner}", owner ?? "—");
  const list = element("dl", "");
  for (const [name, value] of rows) list.append(element("dt", word(name)), element("dd", value));
  answer.replaceChildren(words, ...more, ...(rows.length ? [list] : []));
  answer.dataset.state = state;
  find("heading").hidden = true;
  answer.scrollIntoView({ block: "start" });
}

const checked = () => element("p", "", element("strong", word("checked")));

function showTrouble(e) {
  if (e instanceof Refused && e.code === "link.not_chat") return show("not_a_chat_link", "", [], [element("p", word(`not-${e.reason}`))]);
  if (e instanceof Refused && e.code === "browser.ed25519") return show("failed", "", [], [element("p", word("old-browser"))]);
  if (e instanceof Refused) return show("refused", "", [["code", `${e.code}: ${e.detail}`]]);
  return show("failed", "", [], [element("p", e instanceof Trouble ? e.message : String(e))]);
}

function showLink(link, digest, answer) {
  const more = [checked()];
  if (answer.state === "official" && answer.badge) {
    const open = element("a", word("open"));
    open.className = "button";
    open.href = link;
    open.rel = "noreferrer noopener";
    more.push(element("p", "", open));
  }
  if (answer.stale || (answer.state === "official" && !answer.badge)) more.push(element("p", word("stale")));
  const rows = [["as-of", `${moment(answer.covered)} (${word("ago")} ${hours(answer.covered)})`]];
  const { claim } = answer;
  if (claim) {
    rows.push(["chat", claim.chat]);
    // Of an earlier link it would be the code of an old poster.
    if (answer.state === "official") rows.push(["check-code", checkCode(claim.chat, hex(digest))]);
    rows.push(["region", member(claim.region)?.name ?? claim.region], ["owner", ownerWords(claim.owner)], ["since", moment(claim.since)]);
  }
  const all = charters.latest.regions.length;
  rows.push(["missing", `${all - answer.missing.length} ${word("of")} ${all}`]);
  if (answer.disputed_by.length) {
    const chats = answer.disputed_by.map((c) => element("li", `${member(c.region)?.name ?? c.region}: ${c.chat}, ${moment(c.since)}`));
    more.push(element("p", word("disputed")), element("ul", "", ...chats));
  }
  show(answer.state, ownerWords(claim?.owner), rows, more);
}

/** Asks for the bucket of a link, verifies everything, and shows the answer. */
async function checkLink(pasted) {
  const link = canonicalLink(pasted);
  const digest = await digestOf(link);
  const log = await (await theCharters()).federation();
  if (SAVED) throw new Trouble(word("saved-only"));
  for (let n = 0; log && n < TRIES; n++) {
    const bytes = await get("/api/v1/verify/bucket", MAX_HEAD);
    if (!bytes) break;
    const head = readHead(bytes);
    // Verified before anything of the link is told: a prefix that somebody made longer tells more.
    const commit = await verifyHead(head, log);
    const bucket = await get(`/api/v1/verify/bucket/${head.size}/${bucketName(digest, commit.bits)}`, MAX_BUCKET);
    if (bucket) return showLink(link, digest, await answerOf(readBucket(bucket), log, digest, Date.now()));
  }
  return showElsewhere(link);
}

/** This node has no map of links: where the federation's node is. */
function showElsewhere(link) {
  const url = charters.latest.federation?.url;
  if (!url || !/^https:\/\/[^/]+$/.test(url) || new URL(url).origin === location.origin) throw new Trouble(word("no-map"));
  const there = element("a", url);
  there.href = `${url}/check#${link.split("/").at(-1)}`;
  there.rel = "noreferrer";
  show("failed", "", [], [element("p", `${word("elsewhere")}: `, there)]);
}

function showStatus(said) {
  const rows = [["about", said.about], ["as-of", moment(said.as_of)], ["log", `${said.log}, ${word("entries")} ${said.size}`]];
  if (said.seen_at) rows.push(["seen", moment(said.seen_at * 1000)]);
  for (const { chat, title, owner, buildings } of said.chats) {
    rows.push(["chat", chat], ["title", title]);
    if (owner) {
      rows.push(["owner", owner.name]);
      if (owner.from) rows.push(["from", owner.from]);
      if (owner.basis) rows.push(["basis", [owner.basis.kind, owner.basis.number, owner.basis.date, owner.basis.issuer].filter(Boolean).join(", ")]);
    }
    for (const { id, address } of buildings) rows.push(["house", address ?? `${id} (${word("no-address")})`]);
  }
  const state = said.state ?? (said.known ? "known" : "unknown");
  show(state, said.chats[0]?.owner?.name, rows, [checked(), element("p", word("unwitnessed"))]);
}

/** Verifies a saved file: a status proof, or a bucket beside the link in the field. */
async function checkFile(file) {
  if (file.size > MAX_FILE) throw new Refused("status.too-long", `${file.size}`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes[0] === 0x7b) {
    if (!find("link").value.trim()) throw new Trouble(word("needs-link"));
    const link = canonicalLink(find("link").value);
    const log = await (await theCharters()).federation();
    if (!log) throw new Trouble(word("no-map"));
    const digest = await digestOf(link);
    return showLink(link, digest, await answerOf(readBucket(bytes), log, digest, Date.now()));
  }
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refused("status.form", "not UTF-8");
  }
  const proof = await readStatusProof(text);
  return showStatus(sayStatus(await verifyStatusProof(proof, await theCharters())));
}

async function attempt(work) {
  find("answer").replaceChildren(element("p", word("busy")));
  find("answer").dataset.state = "busy";
  try {
    await work();
  } catch (e) {
    showTrouble(e);
  }
}

find("form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(() => checkLink(find("link").value));
});
/** The files just chosen; the field forgets them, so that the same ones can be chosen again. */
function chosen(field) {
  const files = Array.from(field.files);
  field.value = "";
  return files;
}

find("file").addEventListener("change", ({ target }) => {
  const [file] = chosen(target);
  if (file) attempt(() => checkFile(file));
});
find("charters").addEventListener("change", ({ target }) => {
  const files = chosen(target).sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  if (files.length === 0) return;
  attempt(async () => {
    await take(await Promise.all(files.map((file) => file.text())), "own-charter");
    find("answer").replaceChildren(checked());
    find("answer").dataset.state = "charter";
  });
});

/** The link of the fragment: a token, as on posters, or the whole link. It is taken out of the address at once. */
function fromFragment() {
  let token = location.hash.slice(1);
  if (!token) return false;
  try {
    token = decodeURIComponent(token);
  } catch {
    // As it is: it will be no link.
  }
  history.replaceState(null, "", location.pathname + location.search);
  find("link").value = /[/.]/.test(token) ? token : `https://max.ru/join/${token}`;
  // The other language shows the same; a fragment is sent to nobody.
  for (const other of document.querySelectorAll("a.switch")) other.hash = token;
  attempt(() => checkLink(find("link").value));
  return true;
}

// Without this script none of it would be true.
for (const part of ["ask", "private", "trust"]) find(part).hidden = false;
addEventListener("hashchange", fromFragment);
if (!fromFragment()) {
  // Ready before the network goes away; where it has gone already, a file of one's own will do.
  theCharters().catch(() => {});
}
