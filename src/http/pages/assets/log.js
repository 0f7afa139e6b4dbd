// Logs: signed notes, checkpoints, cosignatures, inclusion, and the entries a node signs itself (C2SP signed-note,
// tlog-checkpoint, tlog-cosignature, tlog-proof; RFC 6962; docs/protocol.md, "Log", "Envelope", "Entries of the node").

import { base64, base64url, byte, decimal, hex, refuse, same, sha256, textOf, unbase64, unbase64url, utf8 } from "./bytes.js";
import { fits, readJson } from "./forms.js";
import { isKeyBytes, readKey, thumbprint, verifySignature } from "./keys.js";

const MAX_TEXT = 64 * 1024;
const MAX_SIGNATURES = 64;
const MAX_LINE = 8 * 1024;
const MAX_NOTE = MAX_TEXT + 1 + MAX_SIGNATURES * (MAX_LINE + 1);
const MAX_CHECKPOINT = 8 * 1024;
const MAX_SIZE = 2n ** 63n - 1n;
/** SHA-256 of nothing: the root of the empty tree. */
const EMPTY_TREE = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

const isName = (name) => name !== "" && !/[\p{White_Space}+\u0000-\u001f]/u.test(name);

/** The first part up to the separator and the rest; null where there is none. */
export function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? null : [text.slice(0, at), text.slice(at + separator.length)];
}

/** A key that verifies notes (`kind` 1) or cosignatures (4): `<name>+<key id>+<base64 of kind ‖ public key>`. */
export async function readVkey(text, kind = 1) {
  const [, name, id, encoded] = (text.length <= 319 && /^([^+]*)\+([0-9a-f]{8})\+(.*)$/.exec(text)) || refuse("vkey.form", "not a verifier key");
  const bytes = unbase64(encoded);
  if (!bytes || bytes.length === 0) refuse("vkey.form", "not a verifier key");
  if (bytes[0] !== kind) refuse("vkey.type", `a verifier key of type ${bytes[0]}, not ${kind}`);
  const key = bytes.slice(1);
  if (key.length !== 32) refuse("vkey.form", "not a verifier key");
  if (!isKeyBytes(key)) refuse("vkey.point", "not the canonical encoding of a point of prime order");
  if (!isName(name) || utf8(name).length > 255) refuse("note.name", "not a key name");
  const own = hex((await sha256(name, "\n", byte(kind), key)).subarray(0, 4));
  if (own !== id) refuse("vkey.id", `the verifier key says id ${id}, it is ${own}`);
  return { name, id, key, kind };
}

/** Takes a note apart: its text and its signature lines. Nothing is verified. */
export function readNote(note) {
  const long = utf8(note).length;
  if (long > MAX_NOTE) refuse("note.too-long", `a note of ${long} bytes`);
  if (/[\u0000-\u0009\u000b-\u001f]/.test(note)) refuse("note.control", "a control character in a note");
  if (!note.endsWith("\n")) refuse("note.newline", "a note that does not end in a newline");
  const blank = note.lastIndexOf("\n\n");
  if (blank < 0) refuse("note.separator", "a note without an empty line before its signatures");
  const text = note.slice(0, blank + 1);
  if (utf8(text).length > MAX_TEXT) refuse("note.text-too-long", "the text of a note is too long");
  const lines = note.slice(blank + 2).split("\n").slice(0, -1);
  if (lines.length === 0 || lines.length > MAX_SIGNATURES) refuse("note.signatures", `a note with ${lines.length} signatures`);
  const signatures = lines.map((line) => {
    const parts = line.startsWith("\u2014 ") && splitOnce(line.slice(2), " ");
    const bytes = parts && unbase64(parts[1]);
    if (!bytes || bytes.length <= 4 || utf8(line).length > MAX_LINE || !isName(parts[0])) refuse("note.signature-line", "a malformed signature line");
    return { name: parts[0], id: hex(bytes.subarray(0, 4)), signature: bytes.subarray(4) };
  });
  return { text, signatures };
}

const linesOf = (note, vkey) => note.signatures.filter((line) => line.name === vkey.name && line.id === vkey.id);

/** Verifies that the key signed the note; lines of other keys are not looked at. */
export async function verifyNote(note, vkey) {
  const lines = linesOf(note, vkey);
  for (const line of lines) {
    if (!(await verifySignature(vkey.key, utf8(note.text), line.signature))) refuse("note.signature", `the signature by ${vkey.name} does not verify`);
  }
  if (lines.length === 0) refuse("note.unsigned", `no signature by ${vkey.name}`);
}

/** The newest time, Unix seconds, at which a cosigner signed this note; null where it has not. */
export async function cosignedAt(note, vkey) {
  let newest = null;
  for (const line of linesOf(note, vkey)) {
    const time = line.signature.length === 72 ? new DataView(line.signature.slice().buffer).getBigUint64(0) : MAX_SIZE + 1n;
    const message = utf8(`cosignature/v1\ntime ${time}\n${note.text}`);
    if (time > MAX_SIZE || !(await verifySignature(vkey.key, message, line.signature.slice(8)))) {
      refuse("cosignature.false", `the cosignature by ${vkey.name} does not verify`);
    }
    newest = newest === null || time > newest ? time : newest;
  }
  return newest === null ? null : Number(newest);
}

/** The head that a checkpoint's text says: origin, size (a BigInt), root. */
function readCheckpoint(text) {
  const form = () => refuse("checkpoint.form", "a checkpoint's text is three lines");
  if (/[\u0000-\u0009\u000b-\u001f]/.test(text)) form();
  const [origin, size, root, more] = text.slice(0, -1).split("\n");
  if (root === undefined || more === "") form();
  if (more !== undefined) refuse("checkpoint.extension", "a checkpoint with extension lines");
  const head = { origin, size: decimal(size), root: root.length === 44 ? unbase64(root) : null };
  if (head.size === null) refuse("checkpoint.size", "the size is not a canonical number");
  if (head.root?.length !== 32) refuse("checkpoint.root", "the root is not 32 bytes in canonical base64");
  if (origin === "" || utf8(origin).length > 1024) refuse("checkpoint.origin", "the origin is empty or too long");
  if (head.size > MAX_SIZE) refuse("checkpoint.size", "the size is too large");
  if (head.size === 0n && root !== EMPTY_TREE) refuse("checkpoint.root", "the empty tree has another root");
  return head;
}

/** A checkpoint that the key signed, of the log `origin`: its head, and the note with further signatures. */
export async function openCheckpoint(text, vkey, origin) {
  const long = utf8(text).length;
  if (long > MAX_CHECKPOINT) refuse("checkpoint.too-long", `a checkpoint of ${long} bytes`);
  const note = readNote(text);
  await verifyNote(note, vkey);
  const head = readCheckpoint(note.text);
  if (head.origin !== origin) refuse("checkpoint.origin", `the checkpoint is of ${head.origin}, not of ${origin}`);
  return { ...head, note };
}

export const leafHash = (entry) => sha256(byte(0), entry);

/** Verifies that a leaf is the entry of `index` in the tree of that size and root (RFC 9162, 2.1.3.2). */
export async function verifyInclusion(leaf, index, size, path, root) {
  if (size > MAX_SIZE) refuse("tree.size", `a tree of ${size}`);
  if (index >= size) refuse("proof.range", `no entry ${index} in a tree of ${size}`);
  let [at, last, hash] = [index, size - 1n, leaf];
  for (const sibling of path) {
    if (last === 0n) refuse("proof.length", "the path is too long");
    if (at % 2n === 1n || at === last) {
      hash = await sha256(byte(1), sibling, hash);
      // On the right edge: climb over levels where the node has no sibling.
      while (at % 2n === 0n && at !== 0n) [at, last] = [at / 2n, last / 2n];
    } else {
      hash = await sha256(byte(1), hash, sibling);
    }
    [at, last] = [at / 2n, last / 2n];
  }
  if (last !== 0n) refuse("proof.length", "the path is too short");
  if (!same(hash, root)) refuse("proof.inclusion", `the path does not lead from entry ${index} to the root`);
}

/** Takes a C2SP tlog-proof apart: index (a BigInt), path, checkpoint. */
export function readTlogProof(text) {
  const form = (what) => refuse("proof.form", `tlog-proof: ${what}`);
  if (utf8(text).length > 64 + 21845 + 32 + 63 * 45 + 1 + MAX_CHECKPOINT) refuse("proof.too-long", "a tlog-proof is shorter");
  const parts = splitOnce(text, "\n\n") ?? form("it has no empty line");
  const lines = parts[0].split("\n");
  if (lines.shift() !== "c2sp.org/tlog-proof@v1") form("another first line");
  let extra = null;
  if (lines[0]?.startsWith("extra ")) extra = unbase64(lines.shift().slice(6)) ?? form("extra is not base64");
  const index = decimal(/^index (.*)$/.exec(lines.shift() ?? "")?.[1] ?? "") ?? form("no canonical index");
  const path = lines.map((line) => {
    const hash = line.length === 44 ? unbase64(line) : null;
    return hash?.length === 32 ? hash : form("a line of the path is not a hash");
  });
  if (path.length > 63) form("the path is longer than any tree's");
  return { extra, index, path, checkpoint: parts[1] };
}

/** The text of a tlog-proof without extra data. */
export const writeTlogProof = (proof) =>
  ["c2sp.org/tlog-proof@v1", `index ${proof.index}`, ...proof.path.map(base64), "", proof.checkpoint].join("\n");

const header = (typ, kid) => base64url(utf8(`{"alg":"EdDSA","kid":"${kid}","typ":"${typ}"}`));

/** The bytes of an envelope with one signature, as text: what a log stores. */
export function writeEnvelope(payload, typ, kid, signature) {
  return `{"payload":"${base64url(utf8(payload))}","signatures":[{"protected":"${header(typ, kid)}","signature":"${base64url(signature)}"}]}`;
}

/** Takes an envelope apart: payload (bytes) and signatures. Nothing but the canonical form is accepted, nothing verified. */
export function readEnvelope(text, typ, max) {
  const malformed = (what) => refuse("envelope.malformed", `envelope: ${what}`);
  if (utf8(text).length > max) refuse("envelope.too_large", `an envelope of more than ${max} bytes`);
  let rest = text;
  const expect = (prefix) => {
    if (!rest.startsWith(prefix)) malformed(`${prefix} expected`);
    rest = rest.slice(prefix.length);
  };
  const quoted = () => {
    const [inside, after] = splitOnce(rest, '"') ?? malformed("unterminated string");
    rest = after;
    return unbase64url(inside) ?? malformed("not canonical base64url");
  };
  expect('{"payload":"');
  const payload = quoted();
  expect(',"signatures":[');
  const signatures = [];
  for (;;) {
    expect('{"protected":"');
    const kid = /^\{"alg":"EdDSA","kid":"([^"]*)","typ":"([^"]*)"\}$/.exec(textOf(quoted()) ?? "");
    if (!kid || kid[2] !== typ || !fits(kid[1], "kid")) refuse("envelope.header", `the header is not exactly alg, kid, typ ${typ}`);
    expect(',"signature":"');
    const signature = quoted();
    if (signature.length !== 64) malformed("a signature has 64 bytes");
    const last = signatures.at(-1);
    if (last && hex(unbase64url(last.kid)) >= hex(unbase64url(kid[1]))) refuse("envelope.signature_order", "signatures are not sorted and distinct");
    signatures.push({ kid: kid[1], signature, input: utf8(`${header(typ, kid[1])}.${base64url(payload)}`) });
    if (signatures.length > 8) malformed("more than 8 signatures");
    expect("}");
    if (!rest.startsWith(",")) break;
    rest = rest.slice(1);
  }
  if (rest !== "]}") malformed("bytes after the end");
  return { payload, signatures };
}

const TYP_NODE = "domovoi-node+jws";
const NODE_RECORDS = ["charter.adopted", "state.committed", "federation.regions", "federation.committed"];

export const nodeEntry = (payload, kid, signature) => writeEnvelope(payload, TYP_NODE, kid, signature);

/** An entry that a node wrote itself, taken apart, not verified. */
export function readNodeEntry(text) {
  const envelope = readEnvelope(text, TYP_NODE, 65_535);
  const payload = textOf(envelope.payload) ?? refuse("record.payload", "the payload is not UTF-8");
  return { record: readNodeRecord(payload), envelope };
}

/** What the payload of such an entry says. */
export function readNodeRecord(payload) {
  const version = versionOf(payload);
  if (Number.isInteger(version) && version > 0) refuse("record.version", `record version ${version} is not known`);
  for (const type of NODE_RECORDS) {
    const record = readJson(payload, type);
    if (record?.type === type) return record;
  }
  return refuse("record.payload", "a node's entry has other members");
}

/** The version of a payload, where it is JSON and names one. */
function versionOf(payload) {
  try {
    return JSON.parse(payload)?.v;
  } catch {
    return undefined;
  }
}

/** Verifies that exactly the commit key signed a node's entry. */
export async function verifyNodeEntry(entry, commitKey) {
  const [only, more] = entry.envelope.signatures;
  const key = readKey(commitKey);
  const good = !more && only.kid === (await thumbprint(key)) && (await verifySignature(key, only.input, only.signature));
  if (!good) refuse("commit.signature", "the entry is not signed by the commit key alone");
  return entry.record;
}

