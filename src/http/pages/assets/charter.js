// The federation's charters: who takes part, with which keys. The first one is trusted because it is pinned; each later one
// because thresholds of both signed it (docs/protocol.md, "Federation charter").

import { hex, refuse, sha256, textOf } from "./bytes.js";
import { readJson } from "./forms.js";
import { readKey, thumbprint, verifySignature } from "./keys.js";
import { readEnvelope, readVkey } from "./log.js";
import { checkNext, checkPlaces, distinct, invalid } from "./places.js";


/** How many of these root keys signed the envelope. */
async function count(envelope, keys) {
  const byThumb = new Map(await Promise.all(keys.map(async (key) => [await thumbprint(readKey(key)), readKey(key)])));
  let good = 0;
  for (const { kid, signature, input } of envelope.signatures) {
    if (byThumb.has(kid) && (await verifySignature(byThumb.get(kid), input, signature))) good += 1;
  }
  return good;
}

async function signedBy(envelope, body) {
  const n = await count(envelope, body.root_keys);
  if (n < body.threshold) refuse("charter.threshold", `${n} root keys of charter version ${body.version} signed, ${body.threshold} are needed`);
}

/** What the forms of its members do not say. */
async function check(body) {
  if (body.format !== 0) refuse("charter.format", `charter format ${body.format} is not known`);
  const fitting = (threshold, keys) => threshold >= 1 && threshold <= Math.min(keys.length, 8) && distinct(keys);
  const within = (list, most) => list.length <= most;
  const { regions, federation, exceptions = [] } = body;
  if (body.version < 1 || (body.version === 1) !== (body.previous === undefined) || body.issued >= body.expires) invalid("version, previous and dates");
  if (!fitting(body.threshold, body.root_keys) || !within(body.root_keys, 32)) invalid("threshold and root keys");
  if (body.staleness_hours === 0 || body.record_versions.length === 0 || !within(body.record_versions, 16)) invalid("staleness or record versions");
  if (!within(regions, 100) || !within(exceptions, 256)) invalid("too long a list");
  for (const log of [...regions, ...(federation ? [federation] : [])]) {
    if ((await readVkey(log.log_vkey)).name !== log.origin) invalid(`the log key of ${log.origin} is not named like its log`);
  }
  for (const region of regions) {
    if (!fitting(region.root_threshold, region.root_keys) || !within(region.root_keys, 16)) invalid(`threshold and root keys of region ${region.code}`);
    if (region.oktmo.length === 0 || !within(region.oktmo, 64)) invalid(`region ${region.code} has no prefix, or too many`);
  }
  const logs = [...regions, ...(federation ? [federation] : [])];
  if (!distinct(regions.map((r) => r.code)) || !distinct(logs.map((l) => l.origin))) invalid("a region or a log twice");
  await checkPlaces(body);
  const excepted = exceptions.map((e) => `${e.index} ${e.origin}`);
  if (!distinct(excepted) || exceptions.some((e) => !regions.some((r) => r.origin === e.origin))) invalid("an exception twice, or of no log");
  const prefixes = regions.flatMap((r) => r.oktmo.map((prefix) => [prefix, r.code])).sort(([a], [b]) => (a < b ? -1 : 1));
  const above = [];
  for (const [prefix, code] of prefixes) {
    while (above.length && !prefix.startsWith(above.at(-1)[0])) above.pop();
    if (above.some(([, other]) => other !== code)) invalid(`the prefix ${prefix} overlaps another region's`);
    above.push([prefix, code]);
  }
}

async function open(text) {
  const envelope = readEnvelope(text, "domovoi-charter+jws", 1 << 20);
  const json = textOf(envelope.payload);
  const body = (json !== null && readJson(json, "charter")) || invalid("its members are not those of a charter");
  await check(body);
  await signedBy(envelope, body);
  return { body, envelope, digest: hex(await sha256("domovoi charter v0\n", envelope.payload)) };
}

/** Verified charters, each the successor of the one before. */
export class Charters {
  /** From the texts of charters, the pinned one first. */
  static async read(texts) {
    const chain = new Charters();
    for (const text of texts) await chain.add(text);
    return chain.versions.length ? chain : invalid("there is none");
  }

  versions = [];

  /** Takes the next version; true where it is there already. */
  async add(text) {
    const next = await open(text);
    const latest = this.versions.at(-1);
    const held = this.versions.find((v) => v.body.version === next.body.version);
    if (held) {
      return held.digest === next.digest || refuse("charter.conflict", `another charter of version ${next.body.version} is there already`);
    }
    if (latest) {
      if (next.body.version !== latest.body.version + 1 || next.body.previous !== latest.digest) {
        refuse("charter.sequence", `charter version ${next.body.version} does not follow version ${latest.body.version}`);
      }
      await signedBy(next.envelope, latest.body);
      await checkNext(latest.body, next.body);
    }
    this.versions.push(next);
    return false;
  }

  /** The pinned charter's digest: what people compare. */
  get pinned() {
    return this.versions[0].digest;
  }

  get latest() {
    return this.versions.at(-1).body;
  }

  /** Versions that name this log, oldest first: {version, region, vkey, commitKey, exceptions, cut}. */
  async ofLog(origin) {
    const named = this.versions.map(({ body }) => ({ body, region: body.regions.find((r) => r.origin === origin) })).filter((v) => v.region);
    if (named.length === 0) refuse("charter.origin", `the charters name no log «${origin}»`);
    return Promise.all(
      named.map(async ({ body, region }) => ({
        version: body.version,
        region: region.code,
        vkey: await readVkey(region.log_vkey),
        commitKey: region.commit_key,
        exceptions: (body.exceptions ?? []).filter((e) => e.origin === origin).map((e) => e.index),
        cut: (body.cuts ?? []).find((c) => c.origin === origin)?.size ?? null,
      })),
    );
  }

  /** The federation's log by the newest version; null where it names none. */
  async federation() {
    const log = this.latest.federation;
    if (!log) return null;
    return { origin: log.origin, vkey: await readVkey(log.log_vkey), commitKey: log.commit_key, hours: this.latest.staleness_hours };
  }
}
