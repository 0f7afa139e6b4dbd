// Status proofs: what a region's log says about one thing at its newest commit, from one text (docs/protocol.md, "Status
// proofs" and "Way down to several keys").

import { base64url, byte, compare, refuse, same, sha256, unbase64url, unhex32, unz85, utf8 } from "./bytes.js";
import { REGIONS, dayOf, kindOf, readSpelled } from "./forms.js";
import { thumbprint, readKey } from "./keys.js";
import { cosignedAt, leafHash, nodeEntry, openCheckpoint, readNodeEntry, readNodeRecord, readNote, readTlogProof, splitOnce, verifyInclusion, verifyNodeEntry, writeTlogProof } from "./log.js";

const HEADER = "domovoi/status-proof@v2";
/** Bytes of the longest proof. */
const MAX_LENGTH = 512 * 1024 + 64 + 21845 + 32 + 63 * 45 + 1 + 8 * 1024;
const MAX_KEYS = 64;
const MAX_DEPTH = 256;
/** Successions of one authority after another that are followed. */
const MAX_SUCCESSIONS = 32;

const form = (what) => refuse("status.form", `status proof: ${what}`);
const lacking = (what) => refuse("status.facts", `status proof: ${what}`);
const wrong = (what) => refuse("proof.map", `map proof: ${what}`);

const mapKey = (name) => sha256("domovoi map key v0\n", name);
const factsValue = (json) => sha256("domovoi facts v0\n", json);
export const mapLeaf = (key, value) => sha256(byte(0x10), key, value);
export const mapInner = (left, right) => sha256(byte(0x11), left, right);
export const mapEmpty = () => sha256(byte(0x12));
export const bit = (key, depth) => (key[depth >> 3] >> (7 - (depth & 7))) & 1;

/** Most places and most hashes of a map proof. */
const MOST = MAX_KEYS * MAX_DEPTH;

/** What stands on the way down, by letters ("i": an inner node), and the hashes beside it. */
function readMapProof(text) {
  const [signs, encoded] = splitOnce(text, " ") ?? wrong("no signs, or no hashes");
  const bytes = unz85(encoded) ?? wrong("the hashes are not in their one spelling");
  if (bytes.length % 32 || bytes.length > MOST * 32) wrong("more hashes than any has, or no whole number of them");
  const hashes = Array.from({ length: bytes.length / 32 }, (_, i) => bytes.slice(32 * i, 32 * i + 32));
  let letters = "";
  for (const [sign] of signs.matchAll(/[1-9][0-9]*|[^]/g)) {
    const times = Number(sign);
    if (!(times > 0) && !"loe".includes(sign)) wrong("an unknown sign, or a number that begins with a nought");
    if ((times || 1) > MOST - letters.length) wrong("more places than any has");
    letters += times > 0 ? "i".repeat(times) : sign;
  }
  return { letters, hashes };
}

/** The root that a way down to these keys leads to; `keys` are sorted, each {key, value}, value null where nothing is. */
async function rootOf(letters, hashes, keys) {
  const empty = await mapEmpty();
  let [letter, hash] = [0, 0];
  const nextHash = () => hashes[hash++] ?? wrong("a hash is missing");
  const down = async (depth, keys) => {
    if (keys.length === 0) {
      const sibling = nextHash();
      return { hash: sibling, lone: same(sibling, empty) };
    }
    const held = keys.filter((k) => k.value);
    switch (letters[letter++]) {
      case "i": {
        if (depth >= MAX_DEPTH) wrong("deeper than a key has bits");
        const left = await down(depth + 1, keys.filter((k) => bit(k.key, depth) === 0));
        const right = await down(depth + 1, keys.filter((k) => bit(k.key, depth) === 1));
        // A lone leaf stands as high as it can, and an empty subtree has no inner node.
        if ((left.lone && same(right.hash, empty)) || (right.lone && same(left.hash, empty))) wrong("further down than the map goes");
        return { hash: await mapInner(left.hash, right.hash), lone: false };
      }
      case "l":
        if (held.length !== 1) wrong("a leaf where not exactly one of the keys is");
        return { hash: await mapLeaf(held[0].key, held[0].value), lone: true };
      case "o": {
        if (held.length) wrong("the leaf of a key is not there");
        const [key, value] = [nextHash(), nextHash()];
        const shares = Array.from({ length: depth }, (_, d) => bit(key, d) === bit(keys[0].key, d)).every(Boolean);
        if (!shares || keys.some((k) => same(k.key, key))) wrong("the other leaf does not stand on the way");
        return { hash: await mapLeaf(key, value), lone: true };
      }
      case "e":
        if (held.length) wrong("the leaf of a key is not there");
        return { hash: empty, lone: true };
      default:
        return wrong("a letter is missing");
    }
  };
  const root = await down(0, keys);
  if (letter !== letters.length || hash !== hashes.length) wrong("something is left over");
  return root.hash;
}

/** Facts in their one spelling, and whose they are: they say it themselves. */
async function readFacts(json) {
  const kind = /^\{"(authority|building|chat|key|link)":/.exec(json)?.[1] ?? form("facts of a kind that no proof holds");
  const inner = json.slice(kind.length + 4, -1);
  const facts = kind === "link" ? readSpelled(json, "link") : json.endsWith("}") && readSpelled(inner, `${kind} facts`);
  if (!facts) form(`the facts of a ${kind} are not in their one spelling`);
  const id = kind === "key" ? await thumbprint(readKey(facts.key)) : facts[kind];
  return { name: `${kind}:${id}`, kind, facts, json };
}

/** Takes a status proof apart in its only spelling. Nothing is verified. */
export async function readStatusProof(text) {
  const long = utf8(text).length;
  if (long > MAX_LENGTH) refuse("status.too-long", `a status proof of ${long} bytes`);
  const [head, tlogText] = splitOnce(text, "\n\n") ?? form("it has no empty line");
  const lines = head.split("\n");
  const value = (word) => {
    const line = lines.shift() ?? "";
    return line.startsWith(`${word} `) ? line.slice(word.length + 1) : form(`the line «${word}» is not where it stands in every proof`);
  };
  if (lines.shift() !== HEADER) form(`its first line is not ${HEADER}`);
  const about = value("about");
  kindOf(about);
  const facts = new Map();
  let last = "";
  while (lines[0]?.startsWith("fact ")) {
    const { name, ...fact } = await readFacts(value("fact"));
    if (compare(utf8(name), utf8(last)) <= 0 || facts.size >= MAX_KEYS) form("the facts are not sorted and distinct, or too many");
    facts.set(name, fact);
    last = name;
  }
  // What is read of it has one spelling.
  const map = value("map");
  const { letters, hashes } = readMapProof(map);
  const payload = value("commit");
  const signature = unbase64url(value("signed"));
  if (signature?.length !== 64) form("a signature is 64 bytes in canonical base64url");
  if (lines.length) form("something stands after the signature");
  const tlog = readTlogProof(tlogText);
  const commit = readNodeRecord(payload);
  if (commit.type !== "state.committed") form("the entry is not a state.committed");
  if (tlog.extra) form("the tlog-proof has extra data, which nothing signs");
  readNote(tlog.checkpoint);
  const again = [HEADER, `about ${about}`, ...Array.from(facts.values(), (f) => `fact ${f.json}`), `map ${map}`];
  again.push(`commit ${payload}`, `signed ${base64url(signature)}`, "", writeTlogProof(tlog));
  if (again.join("\n") !== text) form("it is not in its one spelling");
  return { about, facts, letters, hashes, commit, payload, signature, tlog, origin: commit.log };
}

/** The facts that belong to the question are all there, and no others. */
function isComplete(about, facts) {
  const seen = new Set();
  const take = (name) => {
    if (facts.has(name)) seen.add(name);
    return facts.get(name);
  };
  const need = (name) => take(name)?.facts ?? lacking(`the facts of ${name} are missing`);
  const authority = (id) => {
    let at = id;
    for (let n = 0; n <= MAX_SUCCESSIONS; n++) {
      const next = need(`authority:${at}`).succeeded;
      if (!next) return;
      at = next.successor;
    }
    lacking("the chain of successions has no end");
  };
  const chat = (number) => {
    const facts = need(`chat:${number}`);
    if (facts.owners.length) authority(facts.owners.at(-1).authority);
    for (const building of facts.buildings) take(`building:${building}`);
  };
  const asked = take(about);
  switch (asked?.kind) {
    case "link":
      asked.facts.chats.forEach(chat);
      break;
    case "chat":
      chat(asked.facts.chat);
      break;
    case "authority":
    case "key":
      authority(asked.facts.authority);
      break;
    case "building":
      for (const { kind, facts: over } of facts.values()) {
        if (kind === "chat" && over.buildings.includes(asked.facts.building)) chat(over.chat);
      }
  }
  for (const name of facts.keys()) if (!seen.has(name)) lacking(`the facts of ${name} do not belong to ${about}`);
}

/** Verifies a proof (of `readStatusProof`) with the charters, and the cosigners' vkeys of whom one wants to know. */
export async function verifyStatusProof(proof, charters, cosigners = []) {
  const { commit } = proof;
  const versions = await charters.ofLog(proof.origin);
  const by = versions.find((v) => v.version === commit.charter);
  if (!by) refuse("status.charter", `the log had adopted charter version ${commit.charter}, which is not at hand`);
  // Only that key may have signed it, so its id need not stand in the proof.
  const entry = nodeEntry(proof.payload, await thumbprint(readKey(by.commitKey)), proof.signature);
  await verifyNodeEntry(readNodeEntry(entry), by.commitKey);
  const leaf = await leafHash(entry);
  // A later version may have replaced the log key before the log adopted it; an earlier key signs nothing any more.
  let head;
  const later = versions.filter((v) => v.version >= commit.charter);
  let unsigned;
  for (const { vkey, version } of later) {
    try {
      const signed = await openCheckpoint(proof.tlog.checkpoint, vkey, vkey.name);
      // What a key signed beyond a later cut is void; the key that came with the cut may have signed it too.
      const cut = versions.find((v) => v.version > version && v.cut !== null && commit.size > v.cut);
      if (cut) refuse("log.cut", `charter version ${cut.version} cut the log at ${cut.cut}; the checkpoint is by a key from before`);
      head = signed;
      break;
    } catch (e) {
      if (e.code !== "note.unsigned" && e.code !== "log.cut") throw e;
      if (unsigned?.code !== "log.cut") unsigned = e;
    }
  }
  if (!head) throw unsigned;
  await verifyInclusion(leaf, proof.tlog.index, head.size, proof.tlog.path, head.root);
  if (proof.tlog.index + 1n !== head.size || BigInt(commit.size) !== head.size) {
    refuse("status.commit", `the commit of size ${commit.size} does not end the log of size ${head.size}`);
  }
  const known = new Set(versions.filter((v) => v.version <= commit.charter).flatMap((v) => v.exceptions));
  const undone = versions.filter((v) => v.version > commit.charter).flatMap((v) => v.exceptions);
  if (undone.some((index) => index < commit.size - 1 && !known.has(index))) {
    refuse("status.excepted", `charters newer than version ${commit.charter} undo an entry this commit had counted`);
  }
  const held = await Promise.all(Array.from(proof.facts, async ([name, f]) => ({ key: await mapKey(name), value: await factsValue(f.json) })));
  if (!proof.facts.has(proof.about)) held.push({ key: await mapKey(proof.about), value: null });
  held.sort((a, b) => compare(a.key, b.key));
  if (held.length > MAX_KEYS) wrong("too many keys");
  const root = await rootOf(proof.letters, proof.hashes, held);
  if (!same(root, unhex32(commit.root))) wrong("it does not lead to the committed root");
  isComplete(proof.about, proof.facts);
  const cosigned = [];
  for (const vkey of cosigners) {
    const time = await cosignedAt(head.note, vkey);
    if (time !== null) cosigned.push([vkey.name, time]);
  }
  return { about: proof.about, log: proof.origin, region: by.region, size: commit.size, time: commit.time, charter: commit.charter, cosigned, facts: proof.facts };
}

/** The last of a list of periods that had begun on a day. */
const onDay = (list, day) => list.findLast((item) => !item.from || item.from <= day);

/** Who holds what an authority was given: the end of its successions. */
function holder(status, id) {
  let at = status.facts.get(`authority:${id}`)?.facts;
  for (let n = 0; at?.succeeded && n < MAX_SUCCESSIONS; n++) at = status.facts.get(`authority:${at.succeeded.successor}`)?.facts;
  return at ?? null;
}

function stateOf(status, chat, day) {
  const owner = onDay(chat.owners, day);
  const held = owner && holder(status, owner.authority);
  const good = held && !(held.suspended && !(held.suspended.from > day));
  const rotated = status.about.startsWith("link:") && `link:${chat.link}` !== status.about;
  switch (onDay(chat.statuses, day)?.status ?? "void") {
    case "declared":
      return "pending_handover";
    case "suspended":
      return "suspended";
    case "replaced":
      return "superseded";
    case "moved":
      return "transferred";
    case "official":
      if (!good) return "suspended";
      if (rotated) return "link_rotated";
      return chat.buildings.length > 1 ? "official_covers_several" : "official";
    default:
      return "closed";
  }
}

const RANK = { official: 0, official_covers_several: 0, link_rotated: 1, pending_handover: 1, suspended: 1 };

/** What a verified proof says: the state, and each chat with its owner and houses, as of the newest time that is signed. */
export function sayStatus(status) {
  const seen = status.cosigned.length ? Math.max(...status.cosigned.map(([, time]) => time)) : null;
  const day = dayOf(Math.max(status.time, (seen ?? 0) * 1000), REGIONS.get(status.region));
  const of = (kind) => Array.from(status.facts.values()).filter((f) => f.kind === kind).map((f) => f.facts);
  const chats = of("chat").map((chat) => {
    const owner = onDay(chat.owners, day);
    const address = (id) => status.facts.get(`building:${id}`)?.facts.address ?? null;
    return {
      chat: chat.chat,
      title: chat.title,
      state: stateOf(status, chat, day),
      owner: owner ? { name: (holder(status, owner.authority) ?? {}).name ?? owner.authority, from: owner.from ?? null, basis: owner.basis ?? null } : null,
      buildings: chat.buildings.map((id) => ({ id, address: address(id) })),
    };
  });
  chats.sort((a, b) => (RANK[a.state] ?? 2) - (RANK[b.state] ?? 2) || (a.chat < b.chat ? -1 : 1));
  const known = status.facts.has(status.about);
  const house = known && chats.length === 0 && of("building").length > 0;
  const state = chats[0]?.state ?? (house ? "house_without_chat" : null);
  return { about: status.about, known, state, log: status.log, region: status.region, size: status.size, as_of: status.time, seen_at: seen, cosigned: status.cosigned, chats };
}
