// Ed25519 (RFC 8032) by the browser's own WebCrypto. Its check is cofactorless: of what the node accepts it may refuse more,
// never less (docs/protocol.md, "One verdict"). What it does not look at is looked at here: points of small order.

import { hex, refuse, sha256, base64url, unbase64url } from "./bytes.js";

/** The canonical encodings of the eight points of small order, without the sign bit: y of 0, 1, −1 and of order 8. */
const SMALL_ORDER = new Set([
  "00".repeat(32),
  "01" + "00".repeat(31),
  "ec" + "ff".repeat(30) + "7f",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]);

/** True where 32 bytes can be a point: y below 2^255 − 19, and not of small order. */
function isPoint(bytes) {
  const y = bytes.slice();
  y[31] &= 0x7f;
  const reduced = !(y[31] === 0x7f && y.subarray(1, 31).every((b) => b === 0xff) && y[0] >= 0xed);
  return reduced && !SMALL_ORDER.has(hex(y));
}

const P = 2n ** 255n - 19n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;
const onCurve = new Map();

/** True where a point has this y: (y² − 1) / (dy² + 1) is a square (RFC 8032, 5.1.3). */
function isOnCurve(bytes) {
  const text = hex(bytes);
  if (!onCurve.has(text)) {
    const y = BigInt(`0x${hex(bytes.toReversed())}`) & (2n ** 255n - 1n);
    let base = ((y * y - 1n) * (D * y * y + 1n)) % P;
    let power = 1n;
    for (let e = (P - 1n) / 2n; e > 0n; e >>= 1n, base = (base * base) % P) if (e & 1n) power = (power * base) % P;
    onCurve.set(text, power === 1n);
  }
  return onCurve.get(text);
}

/** The key of 43 characters of base64url, or null. */
export function readKey(text) {
  const bytes = typeof text === "string" ? unbase64url(text) : null;
  return bytes && isKeyBytes(bytes) ? bytes : null;
}

/** True of 32 bytes that are a key's; a torsion component is not looked for. */
export const isKeyBytes = (bytes) => bytes.length === 32 && isPoint(bytes) && isOnCurve(bytes);

/** JWK thumbprint, RFC 7638, as text. */
export async function thumbprint(key) {
  return base64url(await sha256(`{"crv":"Ed25519","kty":"OKP","x":"${base64url(key)}"}`));
}

/** Whether `signature` is the key's signature of `message`. */
export async function verifySignature(key, message, signature) {
  if (signature.length !== 64 || !isPoint(signature.subarray(0, 32))) return false;
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
  } catch (e) {
    if (e.name === "NotSupportedError") refuse("browser.ed25519", "this browser cannot verify Ed25519 signatures");
    return false;
  }
  return crypto.subtle.verify("Ed25519", imported, signature, message);
}
