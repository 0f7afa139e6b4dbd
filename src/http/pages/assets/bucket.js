// The private check: the head of the federation's log, a bucket of all links that share the first bits of a digest, and the
// answer found in it (docs/protocol.md, "Federation log" and "Private check").

import { compare, decimal, refuse, same, sha256, textOf, unbase64url, unhex32, utf8 } from "./bytes.js";
import { fits, readJson } from "./forms.js";
import { leafHash, openCheckpoint, readNodeEntry, verifyInclusion, verifyNodeEntry } from "./log.js";
import { bit, mapEmpty, mapInner, mapLeaf } from "./status.js";

const MAX_BITS = 20;
const MIN_LINKS = 128;
const MAX_LINKS = 16_384;
const MAX_QUOTED = 16 * 1024;
/** Largest bucket that is read, bytes. */
export const MAX_BUCKET = 1 << 20;

const badHead = (what) => refuse("bucket.head", `bucket: ${what}`);
const badForm = (what) => refuse("bucket.form", `bucket: ${what}`);

/** In the order in which claims are sorted. */
const STANDINGS = ["official", "rotated", "owner_suspended", "declared", "suspended", "closed", "replaced", "moved", "void"];
/** Which claim stands: lower first. */
const CLAIM_RANK = { official: 0, owner_suspended: 0, suspended: 0, declared: 1, rotated: 2, moved: 3, replaced: 4, closed: 5 };
const STATES = {
  official: "official",
  owner_suspended: "suspended",
  suspended: "suspended",
  declared: "pending_handover",
  rotated: "link_rotated",
  moved: "transferred",
  replaced: "superseded",
  closed: "closed",
};

const quoted = (text) => text !== "" && utf8(text).length <= MAX_QUOTED;
const headFits = (head) => quoted(head.checkpoint) && quoted(head.commit) && head.path.length <= 64;

/** Reads the head that every client gets. Nothing is verified. */
export function readHead(bytes) {
  const text = textOf(bytes) ?? badHead("not UTF-8");
  const head = readJson(text, "bucket_head");
  return head && headFits(head) ? head : badHead("the head is not in its form");
}

/** Verifies that the federation's log ends at this commit; gives the commit. `log` is `Charters.federation()`. */
export async function verifyHead(head, log) {
  const checkpoint = await openCheckpoint(head.checkpoint, log.vkey, log.origin);
  const commit = await verifyNodeEntry(readNodeEntry(head.commit), log.commitKey);
  if (commit.type !== "federation.committed") badHead("the last entry is no commit");
  if (checkpoint.size !== BigInt(head.size) || commit.size !== head.size || commit.log !== log.origin) badHead("checkpoint and commit are not of one log at one size");
  if (head.size === 0) badHead("the log is empty");
  await verifyInclusion(await leafHash(head.commit), BigInt(head.size - 1), BigInt(head.size), head.path.map(unhex32), checkpoint.root);
  if (commit.bits > MAX_BITS || (commit.bits > 0 && Math.floor(commit.count / 2 ** commit.bits) < MIN_LINKS)) badHead("the prefix is longer than the number of links allows");
  return commit;
}

/** SHA-256 of a canonical join link. */
export const digestOf = (link) => sha256(link);

/** The name of the bucket of a digest. */
export const bucketName = (digest, bits) => Array.from({ length: bits }, (_, depth) => bit(digest, depth)).join("") || "-";

/** Reads a bucket. Nothing is verified. */
export function readBucket(bytes) {
  if (bytes.length > MAX_BUCKET) badForm("larger than 1 MiB");
  const text = textOf(bytes) ?? badForm("not UTF-8");
  const file = readJson(text, "bucket") ?? badForm("it has other members");
  if (!headFits(file.head)) badForm("the head in it is not in its form");
  if (file.siblings.length > MAX_BITS || file.owners.length > MAX_LINKS || file.links.length > MAX_LINKS) badForm("too long a list");
  if (/[^ ]/.test(file.pad)) badForm("padded with something else than blanks");
  return file;
}

/** One line of a bucket: the digest and its claims. */
function readLine(line, owners) {
  const words = line.split(" ");
  const digest = unbase64url(words.shift());
  if (digest?.length !== 32 || words.length % 5) badForm("a line of a link is not in its form");
  const claims = [];
  for (let i = 0; i < words.length; i += 5) {
    const [region, chat, since, standing, at] = words.slice(i, i + 5);
    const index = at === "-" ? null : decimal(at);
    const owner = at === "-" ? "-" : index !== null && owners[Number(index)];
    const good = fits(region, "region") && fits(chat, "chat") && decimal(since) !== null && STANDINGS.includes(standing) && owner;
    if (!good) badForm("a claim is not in its form");
    claims.push({ region, chat, since: BigInt(since), standing, owner });
  }
  return { digest, claims };
}

const claimText = (c) => `${c.region} ${c.chat} ${c.since} ${c.standing} ${c.owner}`;

/** The order of claims: region, chat, since, standing, owner; nobody before somebody. */
function compareClaims(a, b) {
  const order = (x, y) => (x < y ? -1 : x > y ? 1 : 0);
  const owner = (c) => (c.owner === "-" ? "" : c.owner);
  return (
    order(a.region, b.region) ||
    order(a.chat, b.chat) ||
    order(a.since, b.since) ||
    order(STANDINGS.indexOf(a.standing), STANDINGS.indexOf(b.standing)) ||
    order(owner(a), owner(b))
  );
}

const rises = (list, compareTwo) => list.every((item, i) => i === 0 || compareTwo(list[i - 1], item) < 0);

/** Hash of the subtree at a depth of sorted leaves that all lie in it. */
async function subtree(leaves, depth) {
  if (leaves.length === 0) return mapEmpty();
  if (leaves.length === 1) return mapLeaf(leaves[0].digest, leaves[0].value);
  const split = leaves.findIndex((leaf) => bit(leaf.digest, depth) === 1);
  const at = split < 0 ? leaves.length : split;
  return mapInner(await subtree(leaves.slice(0, at), depth + 1), await subtree(leaves.slice(at), depth + 1));
}

/** Verifies a whole bucket and gives the claims on a digest; none where it is proved absent. */
async function claimsOn(file, commit, digest) {
  const links = file.links.map((line) => readLine(line, file.owners));
  if (file.siblings.length !== commit.bits) badForm("not as deep as the committed prefix is long");
  const name = bucketName(digest, commit.bits);
  if (links.some((link) => bucketName(link.digest, commit.bits) !== name)) badForm("a link of another bucket lies in it");
  if (!rises(links, (a, b) => compare(a.digest, b.digest)) || !links.every((l) => rises(l.claims, compareClaims))) badForm("links or claims are not in order, or there twice");
  if (links.some((link) => link.claims.length === 0)) badForm("a link without a claim");
  for (const link of links) link.value = await sha256("domovoi link leaf v0\n", ...link.claims.map((c) => `${claimText(c)}\n`));
  let hash = await subtree(links, commit.bits);
  for (let depth = commit.bits - 1; depth >= 0; depth--) {
    const sibling = unhex32(file.siblings[depth]);
    hash = bit(digest, depth) === 0 ? await mapInner(hash, sibling) : await mapInner(sibling, hash);
  }
  if (!same(hash, unhex32(commit.links))) refuse("bucket.root", "the bucket does not lead to the committed root of the links");
  return links.find((link) => same(link.digest, digest))?.claims ?? [];
}

/** Verifies head and bucket and gives the answer about a digest. `now` in Unix milliseconds. */
export async function answerOf(file, log, digest, now) {
  const commit = await verifyHead(file.head, log);
  const all = await claimsOn(file, commit, digest);
  const claims = all.filter((c) => c.standing !== "void");
  const limit = log.hours * 3_600_000;
  const covered = commit.oldest ?? 0;
  const stale = now - covered > limit;
  // Whoever was there first stands, among those in force before those that are not; a transferred chat counts from its
  // first log on.
  const first = (chat) => all.filter((c) => c.chat === chat).reduce((n, c) => (c.since < n ? c.since : n), 2n ** 64n);
  const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const standing = claims.toSorted((a, b) => CLAIM_RANK[a.standing] - CLAIM_RANK[b.standing] || order(first(a.chat), first(b.chat)) || order(a.chat, b.chat) || order(a.region, b.region));
  const claim = standing[0] ?? null;
  const absent = commit.missing.length ? "region_not_connected" : stale ? "stale" : "not_registered";
  const state = claim ? STATES[claim.standing] : absent;
  const shown = (c) => ({ region: c.region, chat: c.chat, since: Number(c.since) * 1000, standing: c.standing, owner: c.owner === "-" ? null : c.owner });
  return {
    state,
    claim: claim && shown(claim),
    disputed_by: claim ? claims.filter((c) => c.chat !== claim.chat).map(shown) : [],
    covered,
    time: commit.time,
    stale,
    missing: commit.missing,
    badge: state === "official" && now - commit.time <= limit,
  };
}

