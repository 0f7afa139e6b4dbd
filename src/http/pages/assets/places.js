// Which key has which place in a charter, and what may become of it from one version to the next; who must cosign, and where
// logs were cut (docs/protocol.md, "Keys come and go", "Cuts").

import { byte, hex, refuse, sha256, unbase64 } from "./bytes.js";
import { readKey } from "./keys.js";
import { readVkey } from "./log.js";

export const invalid = (what) => refuse("charter.invalid", `charter: ${what}`);
export const distinct = (items) => new Set(items).size === items.length;
const ML_DSA_44 = 6;

/** A cosigner's vkey: Ed25519, or ML-DSA-44, which browsers cannot verify and which is only told apart here. */
async function cosignerKey(text) {
  const [, name, id, encoded] = (text.length <= 4096 && /^([^+]*)\+([0-9a-f]{8})\+(.*)$/.exec(text)) || refuse("vkey.form", "not a verifier key");
  const bytes = unbase64(encoded);
  if (!bytes || bytes[0] !== ML_DSA_44) return readVkey(text, 4);
  const key = bytes.slice(1);
  if (key.length !== 1312 || hex((await sha256(name, "\n", byte(ML_DSA_44), key)).subarray(0, 4)) !== id) refuse("vkey.id", "not the key's own id");
  return { name, id, key, kind: ML_DSA_44 };
}

const listed = (node) => [
  ...(node.cosigners?.witness ?? []).map((vkey) => ["witness", vkey]),
  ...(node.cosigners?.mirror ? [["mirror", node.cosigners.mirror]] : []),
  ...(node.cosigners?.verifier ? [["verifier", node.cosigners.verifier]] : []),
];

/** Every key in its place: {role, region, key, name}; the key in hex, the region empty where it is of the federation itself. */
async function placed(body) {
  const plain = (role, region, key) => ({ role, region, key: hex(readKey(key)), name: null });
  const all = body.root_keys.map((key) => plain("federation_root", "", key));
  const nodes = [...body.regions.map((r) => [r, r.code]), ...(body.federation ? [[body.federation, ""]] : [])];
  for (const [node, region] of nodes) {
    all.push(...(node.root_keys ?? []).map((key) => plain("region_root", region, key)));
    const log = await readVkey(node.log_vkey);
    all.push({ role: "log", region, key: hex(log.key), name: log.name }, plain("commit", region, node.commit_key));
    for (const [role, vkey] of listed(node)) {
      const { name, key } = await cosignerKey(vkey);
      all.push({ role, region, key: hex(key), name });
    }
  }
  for (const { vkey } of body.witnesses ?? []) {
    const { name, key } = await cosignerKey(vkey);
    all.push({ role: "witness", region: "", key: hex(key), name });
  }
  return all;
}

const placeOf = (p) => `${p.role} ${p.region ?? ""}`;
const retiredOf = (body) => (body.retired ?? []).map((r) => ({ ...r, key: hex(readKey(r.key)) }));
const announcedOf = (body) => (body.announced ?? []).map((a) => ({ ...a, key: hex(readKey(a.key)) }));

function checkQuorums(body) {
  const { quorums, regions, federation, witnesses = [] } = body;
  if (!quorums) return;
  const nodes = [...regions.filter((r) => !r.standing), ...(federation ? [federation] : [])];
  for (const { origin } of nodes) {
    for (const role of ["witness", "mirror", "verifier"]) {
      const voices = nodes.filter((n) => n.origin !== origin && listed(n).some(([kind]) => kind === role)).length;
      if (quorums[role] > voices + (role === "witness" ? witnesses.length : 0)) invalid(`the log ${origin} cannot reach its quorum`);
    }
  }
}

/** Checks the keys, quorums and cuts of one version. */
export async function checkPlaces(body) {
  const all = await placed(body);
  if (!distinct(all.map((p) => p.key))) invalid("a key is in two places");
  const names = new Map();
  for (const p of all.filter((q) => q.name !== null)) {
    const before = names.get(p.name);
    const pair = before && p.role === "witness" && placeOf(p) === placeOf(before) && p.key.length !== before.key.length;
    if (before && !pair) invalid(`the key name ${p.name} is used twice`);
    names.set(p.name, p);
  }
  const announced = announcedOf(body);
  const retired = retiredOf(body);
  if (!distinct([...all, ...announced, ...retired].map((p) => p.key))) invalid("a key that is announced or retired is listed twice or in a place");
  const there = ({ role, region }) => {
    if (role === "federation_root") return region === undefined;
    if (region !== undefined) return body.regions.some((r) => r.code === region);
    return role === "witness" || (role !== "region_root" && Boolean(body.federation));
  };
  if (!announced.every(there)) invalid("a key is announced for a place that does not exist");
  const can = ({ role, region, version }) =>
    version >= 2 && version <= body.version && !(role === "federation_root" && region !== undefined) && !(role === "region_root" && region === undefined);
  if (!retired.every(can)) invalid("a retired key has a version or a region that it cannot have");
  checkQuorums(body);
  const { cuts = [], witnesses = [] } = body;
  const origins = [...body.regions, ...(body.federation ? [body.federation] : [])].map((l) => l.origin);
  if (!distinct(cuts.map((c) => c.origin)) || cuts.some((c) => !origins.includes(c.origin))) invalid("a log is cut twice, or is none");
  if (cuts.length > 256 || witnesses.length > 32 || announced.length > 256 || retired.length > 4096) invalid("too long a list");
  if ([...body.regions, body.federation ?? {}].some((n) => (n.cosigners?.witness ?? []).length > 2)) invalid("too many witness keys");
}

const WEIGHT = { replaced: 0, lost: 1, compromised: 2 };

/** Checks what became of keys and cut logs from one version to the next. */
export async function checkNext(before, after) {
  const wrong = (what) => refuse("charter.keys", `charter version ${after.version}: ${what}`);
  const is = await placed(after);
  const list = new Map(retiredOf(after).map((r) => [r.key, r]));
  const accounted = new Set();
  const same = (a, b) => a.role === b.role && (a.region ?? "") === (b.region ?? "");
  for (const old of retiredOf(before)) {
    const now = list.get(old.key);
    if (!now || !same(now, old) || now.version !== old.version || WEIGHT[now.reason] < WEIGHT[old.reason]) wrong("a retired key is listed no longer, or otherwise");
    accounted.add(old.key);
  }
  const still = new Set(is.map((p) => `${placeOf(p)} ${p.key}`));
  for (const p of await placed(before)) {
    if (p.key.length !== 64 || still.has(`${placeOf(p)} ${p.key}`)) continue;
    const now = list.get(p.key);
    if (!now || !same(now, p) || now.version !== after.version) wrong("a key leaves its place and is not listed as retired");
    accounted.add(p.key);
  }
  for (const a of announcedOf(before)) {
    const p = is.find(({ key }) => key === a.key);
    if (p && (!same(p, a) || after.issued < a.from)) wrong("a key was announced for another place or a later time");
    if (!p && list.get(a.key)?.version === after.version) accounted.add(a.key);
  }
  if ([...list.keys()].some((key) => !accounted.has(key))) wrong("a key is retired from a place that it did not have");
  const vkey = (body, origin) => [...body.regions, ...(body.federation ? [body.federation] : [])].find((l) => l.origin === origin)?.log_vkey;
  for (const { origin } of after.cuts ?? []) {
    if (vkey(before, origin) === vkey(after, origin)) refuse("charter.cut", `the log ${origin} is cut, and its key stays the same`);
  }
}
